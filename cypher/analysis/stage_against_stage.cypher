// Neurons of a run whose share of influence differs most between the last graphs of two stages.
//
// @topic time
// @param  run_id       STRING   run
// @param  method       STRING   only graphs of this method [default "deeplift"]
// @param  target       STRING   only graphs of this target, such as 'class:3' [default "label"]
// @param  stage        INTEGER  position of the one stage [default 1]
// @param  other_stage  INTEGER  position of the other [default 2]
// @param  top_k        INTEGER  how many neurons [default 20]
// @return layer        STRING   layer of the neuron
// @return index        INTEGER  its place in the layer
// @return kind         STRING   input, unit, channel, head, sum, product or output
// @return influence    FLOAT    its part of its layer's outgoing |weight| in the other stage
// @return earlier      FLOAT    the same in the one stage
// @return change       FLOAT    influence less earlier
UNWIND [$stage, $other_stage] AS position
CALL (position) {
  MATCH (:Run {run_id: $run_id})-[:HAS_STAGE]->(:Stage {position: position})-[:HAS_SNAPSHOT]->(snapshot:Snapshot)
        -[:HAS_GRAPH]->(graph:AttributionGraph {status: 'complete', method: $method, target: $target})
  RETURN graph ORDER BY snapshot.epoch DESC LIMIT 1
}
WITH collect(graph) AS graphs WHERE size(graphs) = 2
UNWIND [0, 1] AS side
MATCH (state:NeuronState {graph_id: graphs[side].graph_id}) WHERE state.kind <> 'output'
WITH side, state.layer AS layer, collect(state) AS states, sum(state.total_out) AS total
UNWIND states AS state
WITH layer, state.index AS index, state.kind AS kind,
     CASE side WHEN 1 THEN 1.0 ELSE 0.0 END * CASE total WHEN 0 THEN 0.0 ELSE state.total_out / total END AS later,
     CASE side WHEN 0 THEN 1.0 ELSE 0.0 END * CASE total WHEN 0 THEN 0.0 ELSE state.total_out / total END AS sooner
WITH layer, index, kind, sum(later) AS influence, sum(sooner) AS earlier
RETURN layer, index, kind, influence, earlier, influence - earlier AS change
ORDER BY abs(change) DESC, layer, index
LIMIT $top_k
