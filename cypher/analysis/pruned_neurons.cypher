// The neurons of one graph that circuit-tracer's pruning keeps, most influential first.
//
// Kept are the neurons that hold node_threshold of all influence on the outputs, of the edges between them those that hold
// edge_threshold, and of both only what still leads from an input to an output.
//
// @topic subgraphs
// @param  graph_id        STRING   graph that is read
// @param  node_threshold  FLOAT    share of the neurons' influence to keep [default 0.8]
// @param  edge_threshold  FLOAT    share of the edges' influence to keep [default 0.98]
// @computed  kept         pruning:pruned_neurons  layer, index and influence of each neuron kept
// @return layer      STRING   layer of the neuron
// @return index      INTEGER  its place in the layer
// @return kind       STRING   input, unit, channel, head, sum, product or output
// @return influence       FLOAT    sum over its paths to the outputs of the products of shares, in the whole stored graph; of
//                                  an output its part of all outputs
MATCH (graph:AttributionGraph {graph_id: $graph_id, status: 'complete'})
UNWIND $kept AS row
MATCH (state:NeuronState {graph_id: graph.graph_id, layer: row.layer, index: row.index})
RETURN state.layer AS layer, state.index AS index, state.kind AS kind, row.influence AS influence
ORDER BY influence DESC, layer, index
