// Units and channels that matter over the way from the baseline, and hardly where they are now.
//
// A graph alone does not show saturation: what a neuron contributes and how it answers a small change are two methods. It is
// read off two graphs of one epoch and target: this one, of a method with a baseline such as deeplift or conductance, and
// one of gradient_times_activation. A saturated neuron has attribution in the first and none in the second.
//
// @topic neurons
// @param  graph_id           STRING   graph of a method with a baseline
// @param  min_saturation     FLOAT    how saturated at least [default 0.5]
// @return layer              STRING   layer of the neuron
// @return index              INTEGER  its place in the layer
// @return kind               STRING   unit or channel
// @return influence          FLOAT    its mean absolute attribution here
// @return local_attribution  FLOAT    the same by gradient times activation
// @return saturation         FLOAT    (influence - local_attribution) / (influence + local_attribution), 1 where flat
MATCH (snapshot:Snapshot)-[:HAS_GRAPH]->(graph:AttributionGraph {graph_id: $graph_id, status: 'complete'})
MATCH (snapshot)-[:HAS_GRAPH]->
      (local:AttributionGraph {status: 'complete', method: 'gradient_times_activation', target: graph.target})
MATCH (graph)-[:HAS_STATE]->(state:NeuronState)
WHERE state.kind IN ['unit', 'channel'] AND state.abs_attribution > 0
MATCH (twin:NeuronState {graph_id: local.graph_id, layer: state.layer, index: state.index})
USING INDEX twin:NeuronState(graph_id, layer, index)
WITH state, twin, (state.abs_attribution - twin.abs_attribution) / (state.abs_attribution + twin.abs_attribution)
     AS saturation
WHERE saturation >= $min_saturation
RETURN state.layer AS layer, state.index AS index, state.kind AS kind, state.abs_attribution AS influence,
       twin.abs_attribution AS local_attribution, saturation
ORDER BY saturation DESC, influence DESC, layer, index
