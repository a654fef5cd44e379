// The edges of one graph whose removal leaves an output without any input's influence, as little |weight| as can be.
//
// @topic subgraphs
// @param  graph_id        STRING   graph that is read
// @param  output          INTEGER  cut off is the output of this index; null for all outputs [default null]
// @computed  kept         minimum_cut:minimum_cut  the ends of each edge of the cut
// @return source_layer    STRING   layer that the edge leaves
// @return source_index    INTEGER  neuron that it leaves
// @return target_layer    STRING   layer that it enters
// @return target_index    INTEGER  neuron that it enters
// @return weight          FLOAT    signed share of the target score that flows along it
// @return abs_weight      FLOAT    mean of its absolute value over samples
MATCH (graph:AttributionGraph {graph_id: $graph_id, status: 'complete'})
UNWIND $kept AS row
MATCH (target:NeuronState {graph_id: graph.graph_id, layer: row.target_layer, index: row.target_index})
USING INDEX target:NeuronState(graph_id, layer, index)
MATCH (target)<-[edge:INFLUENCES]-(source:NeuronState)
WITH source, edge, target, row.edges[source.layer + '/' + source.index] AS kept
WHERE kept IS NOT NULL
RETURN source.layer AS source_layer, source.index AS source_index, target.layer AS target_layer,
       target.index AS target_index, edge.weight AS weight, edge.abs_weight AS abs_weight
ORDER BY abs_weight DESC, source_layer, source_index, target_layer, target_index
