// The edges of the graph that has most of them, of those that can be read.
//
// @return edge_count  INTEGER  as noted when it was written; 0 where there is no graph
MATCH (graph:AttributionGraph {status: 'complete'})
RETURN coalesce(max(graph.edge_count), 0) AS edge_count
