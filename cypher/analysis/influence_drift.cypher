// How far the influence of a run's neurons moves from epoch to epoch: of a class, with the target of that class.
//
// @topic time
// @param  run_id       STRING   run
// @param  method       STRING   only graphs of this method [default "deeplift"]
// @param  target       STRING   only graphs of this target, such as 'class:3' [default "label"]
// @return stage        INTEGER  position of the stage in its run
// @return epoch        INTEGER  of the stage
// @return drift        FLOAT    share of all influence of units and channels that other neurons have than in the graph before,
//                               0 to 1: half the sum of |difference of shares|; 0 for the first
// @return drift_first  FLOAT    the same against the first graph of the run
// @return graph_id     STRING   graph
MATCH (:Run {run_id: $run_id})-[:HAS_STAGE]->(stage:Stage)-[:HAS_SNAPSHOT]->(snapshot:Snapshot)-[:HAS_GRAPH]->
      (graph:AttributionGraph {status: 'complete', method: $method, target: $target})
CALL (graph) {
  MATCH (state:NeuronState {graph_id: graph.graph_id}) WHERE state.kind IN ['unit', 'channel']
  RETURN sum(state.total_out) AS total
}
WITH stage, snapshot, graph, total WHERE total > 0
ORDER BY stage.position, snapshot.epoch
WITH collect({stage: stage.position, epoch: snapshot.epoch, graph_id: graph.graph_id, total: total}) AS graphs
UNWIND range(0, size(graphs) - 1) AS place
WITH graphs[place] AS own, graphs[CASE place WHEN 0 THEN 0 ELSE place - 1 END] AS before, graphs[0] AS first
MATCH (state:NeuronState {graph_id: own.graph_id}) WHERE state.kind IN ['unit', 'channel']
MATCH (past:NeuronState {graph_id: before.graph_id, layer: state.layer, index: state.index})
USING INDEX past:NeuronState(graph_id, layer, index)
MATCH (start:NeuronState {graph_id: first.graph_id, layer: state.layer, index: state.index})
USING INDEX start:NeuronState(graph_id, layer, index)
WITH own, state.total_out / own.total AS share, past.total_out / before.total AS share_before,
     start.total_out / first.total AS share_first
RETURN own.stage AS stage, own.epoch AS epoch, sum(abs(share - share_before)) / 2 AS drift,
       sum(abs(share - share_first)) / 2 AS drift_first, own.graph_id AS graph_id
ORDER BY stage, epoch
