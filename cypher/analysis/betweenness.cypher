// Units and channels of one graph by how many of the strongest ways from an input to an output lead through them.
//
// @topic neurons
// @param  graph_id   STRING   graph that is read
// @param  top_k      INTEGER  how many neurons [default 20]
// @computed  scored  betweenness:betweenness  layer, index and betweenness of every neuron
// @return layer      STRING   layer of the neuron
// @return index      INTEGER  its place in the layer
// @return kind       STRING   input, unit, channel, head, sum, product or output
// @return influence  FLOAT    share of the pairs of an input and an output whose strongest path, the largest product of
//                             shares, leads through it; equally strong paths count in part
MATCH (graph:AttributionGraph {graph_id: $graph_id, status: 'complete'})
UNWIND $scored AS row
MATCH (state:NeuronState {graph_id: graph.graph_id, layer: row.layer, index: row.index})
WHERE state.kind IN ['unit', 'channel']
RETURN state.layer AS layer, state.index AS index, state.kind AS kind, row.betweenness AS influence
ORDER BY influence DESC, layer, index
LIMIT $top_k
