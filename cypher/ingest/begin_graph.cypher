// Makes an attribution graph, or takes one over, and hides it from readers until it is complete.
//
// @param  snapshot_id  STRING  snapshot that the graph explains
// @param  graph_id     STRING  graph
// @param  writer       STRING  token of who writes; a later one takes over
// @param  properties   MAP     method, target, baseline, sample_count, completeness_delta, kept_mass and others
// @return graph_id     STRING  graph
MATCH (snapshot:Snapshot {snapshot_id: $snapshot_id})
MERGE (graph:AttributionGraph {graph_id: $graph_id})
SET graph += $properties, graph.status = 'writing', graph.writer = $writer, graph.written_at = datetime()
REMOVE graph.content_hash, snapshot.pruned_at
MERGE (snapshot)-[:HAS_GRAPH]->(graph)
WITH graph
// What was found in the content before is no longer all there.
OPTIONAL MATCH (circuit:Circuit)-[:FOUND_IN]->(graph)
SET circuit.is_stale = true
RETURN DISTINCT graph.graph_id AS graph_id
