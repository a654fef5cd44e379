// All neurons of one graph, as they were attributed.
//
// @topic graphs
// @param  graph_id         STRING   graph that is read
// @return layer            STRING   layer of the neuron
// @return index            INTEGER  its place in the layer
// @return kind             STRING   input, unit, channel, head, sum, product or output
// @return attribution      FLOAT    its signed share of the target score
// @return abs_attribution  FLOAT    mean of the absolute share over samples
// @return total_in         FLOAT    sum of |weight| over all edges in
// @return kept_in          FLOAT    the same over the stored edges
// @return total_out        FLOAT    sum of |weight| over all edges out
MATCH (graph:AttributionGraph {graph_id: $graph_id, status: 'complete'})
UNWIND range(0, size(graph.layers) - 1) AS place
MATCH (state:NeuronState {graph_id: graph.graph_id, layer: graph.layers[place]})
USING INDEX state:NeuronState(graph_id, layer, index)
WHERE state.index >= 0
WITH place, state ORDER BY place, state.index
RETURN state.layer AS layer, state.index AS index, state.kind AS kind, state.attribution AS attribution,
       state.abs_attribution AS abs_attribution, state.total_in AS total_in, state.kept_in AS kept_in,
       state.total_out AS total_out
