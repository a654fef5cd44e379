// The graphs that can be read, in the order of runs, stages and epochs.
//
// @topic graphs
// @param  run_id              STRING   only graphs of this run [default null]
// @return run_id              STRING   run
// @return stage               INTEGER  position of the stage in its run
// @return epoch               INTEGER  of the stage
// @return method              STRING   that attributed
// @return target              STRING   what is explained
// @return loss                FLOAT    of the network at that epoch
// @return accuracy            FLOAT    of the network at that epoch
// @return node_count          INTEGER  neurons
// @return edge_count          INTEGER  stored edges
// @return kept_mass           FLOAT    share of all |weight| that the stored edges hold
// @return completeness_delta  FLOAT    what the attributions fail to add up to
// @return graph_id            STRING   graph
MATCH (run:Run)-[:HAS_STAGE]->(stage:Stage)-[:HAS_SNAPSHOT]->(snapshot:Snapshot)-[:HAS_GRAPH]->
      (graph:AttributionGraph {status: 'complete'})
WHERE $run_id IS NULL OR run.run_id = $run_id
RETURN run.run_id AS run_id, stage.position AS stage, snapshot.epoch AS epoch, graph.method AS method,
       graph.target AS target, snapshot.loss AS loss, snapshot.accuracy AS accuracy, graph.node_count AS node_count,
       graph.edge_count AS edge_count, graph.kept_mass AS kept_mass, graph.completeness_delta AS completeness_delta,
       graph.graph_id AS graph_id
ORDER BY run_id, stage, epoch, method, target
