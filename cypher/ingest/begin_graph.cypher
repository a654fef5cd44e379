// Makes an attribution graph, or takes one over, and hides it from readers until it is complete.
//
// @param  snapshot_id  STRING  snapshot that the graph explains
// @param  graph_id     STRING  graph
// @param  writer       STRING  token of who writes; a later one takes over
// @param  properties   MAP     method, target, baseline, sample_count, completeness_delta, kept_mass and others
// @return has_content  BOOLEAN whether states are there of a graph before, or of a writer that was overtaken; no row where
//                              the snapshot is gone, or its run is being deleted
MATCH (snapshot:Snapshot {snapshot_id: $snapshot_id})<-[:HAS_SNAPSHOT]-(:Stage)<-[:HAS_STAGE]-(run:Run)
// Locked before its status is read: nobody begins to delete it in between.
SET run.is_locked = true
REMOVE run.is_locked
WITH snapshot, run WHERE coalesce(run.status, '') <> 'deleting'
MERGE (graph:AttributionGraph {graph_id: $graph_id})
SET graph += $properties, graph.status = 'writing', graph.writer = $writer, graph.written_at = datetime()
REMOVE graph.content_hash, snapshot.pruned_at
MERGE (snapshot)-[held:HAS_GRAPH]->(graph)
// Waits for the second lane of who writes it now (see write_edges); the first ended when the graph was locked.
SET held.is_locked = true
REMOVE held.is_locked
WITH DISTINCT graph
// What was found in the content before is no longer all there.
OPTIONAL MATCH (circuit:Circuit)-[:FOUND_IN]->(graph)
SET circuit.is_stale = true
WITH DISTINCT graph
RETURN EXISTS { (graph)-[:HAS_STATE]->() } AS has_content
