// Units and channels of one graph that pass nothing on, or next to nothing.
//
// @topic neurons
// @param  graph_id   STRING   graph that is read
// @param  threshold  FLOAT    share of the layer's largest flow up to which a neuron counts as dead [default 0.0]
// @return layer      STRING   layer of the neuron
// @return index      INTEGER  its place in the layer
// @return kind       STRING   unit or channel
// @return influence  FLOAT    the larger of all |weight| in and all |weight| out
// @return alive_in   INTEGER  other graphs of the same epoch and method in which something flows through it
MATCH (snapshot:Snapshot)-[:HAS_GRAPH]->(graph:AttributionGraph {graph_id: $graph_id, status: 'complete'})
MATCH (graph)-[:HAS_STATE]->(state:NeuronState)
WHERE state.kind IN ['unit', 'channel']
WITH snapshot, graph, state,
     CASE WHEN state.total_in > state.total_out THEN state.total_in ELSE state.total_out END AS flow
WITH snapshot, graph, state.layer AS layer, max(flow) AS most, collect({state: state, flow: flow}) AS neurons
UNWIND neurons AS neuron
WITH snapshot, graph, neuron.state AS state, neuron.flow AS flow, most
WHERE flow <= $threshold * most
RETURN state.layer AS layer, state.index AS index, state.kind AS kind, flow AS influence, COUNT {
  MATCH (snapshot)-[:HAS_GRAPH]->(other:AttributionGraph {status: 'complete', method: graph.method})
  WHERE other.graph_id <> graph.graph_id
  MATCH (twin:NeuronState {graph_id: other.graph_id, layer: state.layer, index: state.index})
  USING INDEX twin:NeuronState(graph_id, layer, index)
  WHERE twin.total_in > 0 OR twin.total_out > 0
} AS alive_in
ORDER BY layer, index
