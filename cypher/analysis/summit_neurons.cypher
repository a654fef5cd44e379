// Of each layer of one graph the fewest neurons that hold a share of the layer's personalised PageRank, as SUMMIT does.
//
// Walks begin anywhere, in each layer by the neurons' absolute attribution: of a class, in the graph of that class.
//
// @topic neurons
// @param  graph_id     STRING   graph that is read
// @param  layer_mass   FLOAT    share of each layer's rank to keep [default 0.5]
// @param  damping      FLOAT    probability that a walk goes on [default 0.85]
// @computed  kept      pagerank:summit_neurons  layer, index, rank and layer_share of the neurons kept
// @return layer      STRING   layer of the neuron
// @return index      INTEGER  its place in the layer
// @return kind       STRING   input, unit, channel, head, sum, product or output
// @return influence    FLOAT    rank of the walk
// @return layer_share  FLOAT    its part in the rank of its layer
MATCH (graph:AttributionGraph {graph_id: $graph_id, status: 'complete'})
UNWIND $kept AS row
MATCH (state:NeuronState {graph_id: graph.graph_id, layer: row.layer, index: row.index})
RETURN state.layer AS layer, state.index AS index, state.kind AS kind, row.rank AS influence,
       row.layer_share AS layer_share
ORDER BY layer, influence DESC, index
