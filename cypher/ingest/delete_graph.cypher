// Deletes a graph whose states are gone, and the circuits found in it.
//
// @param  graph_id  STRING   graph
// @param  writer    STRING   token of who deletes it
// @return deleted   INTEGER  how many circuits went with it; no row where another writer took over
MATCH (graph:AttributionGraph {graph_id: $graph_id})
SET graph.is_locked = true
REMOVE graph.is_locked
WITH graph WHERE graph.status = 'deleting' AND graph.writer = $writer
OPTIONAL MATCH (circuit:Circuit)-[:FOUND_IN]->(graph)
WITH graph, collect(circuit) AS circuits
FOREACH (circuit IN circuits | DETACH DELETE circuit)
DETACH DELETE graph
RETURN size(circuits) AS deleted
