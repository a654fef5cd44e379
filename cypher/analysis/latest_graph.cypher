// The newest graph that can be read: of the run that began last, the last epoch's graph of the true class.
//
// A graph that was imported from a file is the newest only where there is no other.
//
// @topic graphs
// @param  run_id         STRING  only graphs of this run [default null]
// @param  target         STRING  only graphs of this target, such as 'class:3' [default null]
// @return graph_id       STRING  graph
// @return stage_id       STRING  its stage
// @return run_id         STRING  its run
// @return imported_from  STRING  name of the file that it was imported from, or ''
MATCH (run:Run)-[:HAS_STAGE]->(stage:Stage)-[:HAS_SNAPSHOT]->(snapshot:Snapshot)-[:HAS_GRAPH]->
      (graph:AttributionGraph {status: 'complete'})
WHERE ($run_id IS NULL OR run.run_id = $run_id) AND ($target IS NULL OR graph.target = $target)
WITH run, stage, snapshot, graph
ORDER BY graph.imported_from IS NULL DESC, coalesce(run.started_at, datetime({epochSeconds: 0})) DESC, run.run_id,
         stage.position DESC, snapshot.epoch DESC, graph.target = 'label' DESC, graph.graph_id
LIMIT 1
RETURN graph.graph_id AS graph_id, stage.stage_id AS stage_id, run.run_id AS run_id,
       coalesce(graph.imported_from, '') AS imported_from
