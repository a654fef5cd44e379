// The k-core of one graph: what is left when neurons with fewer than k stored edges are taken out again and again.
//
// @topic subgraphs
// @param  graph_id    STRING   graph that is read
// @param  k           INTEGER  how many edges each neuron has within the core; null for the innermost core [default null]
// @computed  cores    communities:core_numbers  layer, index and core of each neuron that has an edge
// @return layer       STRING   layer of the neuron
// @return index       INTEGER  its place in the layer
// @return kind        STRING   input, unit, channel, head, sum, product or output
// @return core        INTEGER  the largest k for which it is in the k-core
// @return influence   FLOAT    sum of |weight| over all outgoing edges
MATCH (graph:AttributionGraph {graph_id: $graph_id, status: 'complete'})
WITH graph, reduce(most = 0, row IN $cores | CASE WHEN row.core > most THEN row.core ELSE most END) AS most
UNWIND $cores AS row
WITH graph, row WHERE row.core >= coalesce($k, most)
MATCH (state:NeuronState {graph_id: graph.graph_id, layer: row.layer, index: row.index})
USING INDEX state:NeuronState(graph_id, layer, index)
RETURN state.layer AS layer, state.index AS index, state.kind AS kind, row.core AS core, state.total_out AS influence
ORDER BY core DESC, layer, index
