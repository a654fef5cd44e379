// Units and channels of one graph by personalised PageRank from a class's output, or all outputs, back along the edges.
//
// Of a graph whose target is a class it is that class's rank already.
//
// @topic neurons
// @param  graph_id   STRING   graph that is read
// @param  output     INTEGER  walks begin at the output of this index; null for all outputs [default null]
// @param  damping    FLOAT    probability that a walk goes on [default 0.85]
// @param  top_k      INTEGER  how many neurons [default 20]
// @computed  ranked  pagerank:personalised_pagerank  layer, index and rank of every neuron
// @return layer      STRING   layer of the neuron
// @return index      INTEGER  its place in the layer
// @return kind       STRING   input, unit, channel, head, sum, product or output
// @return influence  FLOAT    rank of a walk that starts at the outputs and steps back by |weight|
MATCH (graph:AttributionGraph {graph_id: $graph_id, status: 'complete'})
UNWIND $ranked AS row
MATCH (state:NeuronState {graph_id: graph.graph_id, layer: row.layer, index: row.index})
WHERE state.kind IN ['unit', 'channel']
RETURN state.layer AS layer, state.index AS index, state.kind AS kind, row.rank AS influence
ORDER BY influence DESC, layer, index
LIMIT $top_k
