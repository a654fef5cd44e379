// Deletes a graph whose states are gone, and the circuits found in it.
//
// @param  graph_id  STRING   graph
// @return deleted   INTEGER  how many circuits went with it
MATCH (graph:AttributionGraph {graph_id: $graph_id})
OPTIONAL MATCH (circuit:Circuit)-[:FOUND_IN]->(graph)
WITH graph, collect(circuit) AS circuits
FOREACH (circuit IN circuits | DETACH DELETE circuit)
DETACH DELETE graph
RETURN size(circuits) AS deleted
