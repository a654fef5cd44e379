// One graph and its state of writing.
//
// @param  graph_id    STRING  graph
// @return status      STRING  writing, complete or deleting
// @return content_hash  STRING  of a complete graph's content
// @return properties  MAP     everything that is known of the graph
MATCH (graph:AttributionGraph {graph_id: $graph_id})
RETURN graph.status AS status, graph.content_hash AS content_hash, properties(graph) AS properties
