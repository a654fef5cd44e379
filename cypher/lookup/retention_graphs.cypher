// What retention decides on: every graph that is whole or half deleted, with what rests on it.
//
// @param  run_ids          LIST<STRING>  only graphs of these runs [default null]
// @param  experiments      LIST<STRING>  only graphs of runs of these experiments [default null]
// @return run_id           STRING        run
// @return run_status       STRING        such as 'running' or 'complete'
// @return stage            INTEGER       position of the stage in its run
// @return epoch            INTEGER       of the stage
// @return snapshot_id      STRING        snapshot
// @return loss             FLOAT         of the network at that epoch
// @return accuracy         FLOAT         of the network at that epoch
// @return graph_id         STRING        graph
// @return node_count       INTEGER       its neurons, as noted when it was written
// @return edge_count       INTEGER       its stored edges, as noted when it was written
// @return circuit_count    INTEGER       circuits found in it
// @return yields_training  BOOLEAN       whether a neuron set was chosen from one of them
MATCH (run:Run)-[:HAS_STAGE]->(stage:Stage)-[:HAS_SNAPSHOT]->(snapshot:Snapshot)-[:HAS_GRAPH]->(graph:AttributionGraph)
WHERE graph.status IN ['complete', 'deleting'] AND run.status <> 'deleting'
  AND ($run_ids IS NULL OR run.run_id IN $run_ids)
  AND ($experiments IS NULL OR EXISTS {
    MATCH (experiment:Experiment)-[:HAS_RUN]->(run) WHERE experiment.name IN $experiments
  })
RETURN run.run_id AS run_id, run.status AS run_status, stage.position AS stage, snapshot.epoch AS epoch,
       snapshot.snapshot_id AS snapshot_id, snapshot.loss AS loss, snapshot.accuracy AS accuracy,
       graph.graph_id AS graph_id, coalesce(graph.node_count, 0) AS node_count,
       coalesce(graph.edge_count, 0) AS edge_count,
       COUNT { (graph)<-[:FOUND_IN]-(:Circuit) } AS circuit_count,
       EXISTS { (graph)<-[:FOUND_IN]-(:Circuit)-[:YIELDS]->(:NeuronSet) } AS yields_training
ORDER BY run_id, stage, epoch, graph_id
