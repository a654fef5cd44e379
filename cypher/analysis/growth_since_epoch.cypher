// Neurons whose influence grew most since an epoch of the same run, with the same method and target.
//
// @topic neurons
// @param  graph_id          STRING   graph that is read
// @param  since_stage       INTEGER  position of the stage that is compared with [default 1]
// @param  since_epoch       INTEGER  its epoch [default 0]
// @param  top_k             INTEGER  how many neurons [default 20]
// @return layer             STRING   layer of the neuron
// @return index             INTEGER  its place in the layer
// @return kind              STRING   input, unit, channel, head, sum, product or output
// @return influence         FLOAT    sum of |weight| over all outgoing edges; of an output its mean absolute attribution
// @return influence_before  FLOAT    the same at the epoch that is compared with
// @return growth            FLOAT    influence less influence_before
MATCH (run:Run)-[:HAS_STAGE]->(:Stage)-[:HAS_SNAPSHOT]->(:Snapshot)-[:HAS_GRAPH]->
      (graph:AttributionGraph {graph_id: $graph_id, status: 'complete'})
MATCH (run)-[:HAS_STAGE]->(:Stage {position: $since_stage})-[:HAS_SNAPSHOT]->(:Snapshot {epoch: $since_epoch})
      -[:HAS_GRAPH]->(before:AttributionGraph {status: 'complete', method: graph.method, target: graph.target})
MATCH (graph)-[:HAS_STATE]->(state:NeuronState)
MATCH (earlier:NeuronState {graph_id: before.graph_id, layer: state.layer, index: state.index})
USING INDEX earlier:NeuronState(graph_id, layer, index)
WITH state,
     CASE state.kind WHEN 'output' THEN state.abs_attribution ELSE state.total_out END AS influence,
     CASE state.kind WHEN 'output' THEN earlier.abs_attribution ELSE earlier.total_out END AS influence_before
RETURN state.layer AS layer, state.index AS index, state.kind AS kind, influence, influence_before,
       influence - influence_before AS growth
ORDER BY growth DESC, layer, index
LIMIT $top_k
