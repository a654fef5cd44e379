// Graphs that the offline importer made and nothing else has been given to: their neurons and edges are all there.
//
// @return graph_id      STRING  graph
// @return content_hash  STRING  of its neurons and edges
MATCH (graph:AttributionGraph {status: 'importing'})
RETURN graph.graph_id AS graph_id, graph.content_hash AS content_hash
ORDER BY graph_id
