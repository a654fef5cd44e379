// Neurons of one graph by how much of all paths from the inputs to the outputs leads through them, most first.
//
// A path's strength is the product of its edges' shares, times its output's part of all the outputs' absolute attribution.
//
// @topic paths
// @param  graph_id     STRING   graph that is read
// @param  output       INTEGER  only paths to the output of this index [default null]
// @param  kind         STRING   only neurons of this kind: input, unit, channel, head, sum, product or output [default null]
// @param  top_k        INTEGER  how many neurons [default 20]
// @computed  scored    path_mass:path_mass  layer, index, mass, to_outputs and from_inputs of every neuron
// @return layer      STRING   layer of the neuron
// @return index      INTEGER  its place in the layer
// @return kind       STRING   input, unit, channel, head, sum, product or output
// @return influence    FLOAT    sum of the strengths of all stored paths through it, 0 to 1
// @return to_outputs   FLOAT    sum over its ways to the outputs
// @return from_inputs  FLOAT    sum over its ways from the inputs: below 1 where edges were too weak to be stored
MATCH (graph:AttributionGraph {graph_id: $graph_id, status: 'complete'})
UNWIND $scored AS row
MATCH (state:NeuronState {graph_id: graph.graph_id, layer: row.layer, index: row.index})
WHERE $kind IS NULL OR state.kind = $kind
RETURN state.layer AS layer, state.index AS index, state.kind AS kind, row.mass AS influence,
       row.to_outputs AS to_outputs, row.from_inputs AS from_inputs
ORDER BY influence DESC, layer, index
LIMIT $top_k
