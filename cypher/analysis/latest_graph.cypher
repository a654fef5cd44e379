// The newest graph that can be read: of the run that began last, the last epoch's graph of the true class.
//
// @topic graphs
// @return graph_id  STRING  graph
// @return stage_id  STRING  its stage
// @return run_id    STRING  its run
MATCH (run:Run)-[:HAS_STAGE]->(stage:Stage)-[:HAS_SNAPSHOT]->(snapshot:Snapshot)-[:HAS_GRAPH]->
      (graph:AttributionGraph {status: 'complete'})
WITH run, stage, snapshot, graph
ORDER BY coalesce(run.started_at, datetime({epochSeconds: 0})) DESC, run.run_id, stage.position DESC, snapshot.epoch DESC,
         graph.target = 'label' DESC, graph.graph_id
LIMIT 1
RETURN graph.graph_id AS graph_id, stage.stage_id AS stage_id, run.run_id AS run_id
