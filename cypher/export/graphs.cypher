// The complete graphs of a run, as they are written to an archive.
//
// @param  run_id       STRING  run
// @return snapshot_id  STRING  snapshot that the graph explains
// @return properties   MAP     all of the graph
MATCH (:Run {run_id: $run_id})-[:HAS_STAGE]->(stage:Stage)-[:HAS_SNAPSHOT]->(snapshot:Snapshot)-[:HAS_GRAPH]->
      (graph:AttributionGraph {status: 'complete'})
RETURN snapshot.snapshot_id AS snapshot_id, properties(graph) AS properties
ORDER BY stage.position, snapshot.epoch, graph.graph_id
