// All stored edges of one graph as lists, a row for each neuron and layer that edges into it come from: many times as
// fast to send as a row an edge.
//
// @param  graph_id        STRING         graph that is read
// @param  layers          LIST<STRING>   its layers
// @return target_place    INTEGER        place of the layer that the edges enter among these layers, from 0
// @return target_index    INTEGER        neuron that they enter
// @return source_layer    STRING         layer that they leave
// @return source_indices  LIST<INTEGER>  neurons that they leave, a value an edge, as in all lists
// @return weights         LIST<FLOAT>    signed
// @return abs_weights     LIST<FLOAT>    absolute
MATCH (graph:AttributionGraph {graph_id: $graph_id, status: 'complete'})
UNWIND range(0, size($layers) - 1) AS target_place
MATCH (target:NeuronState {graph_id: graph.graph_id, layer: $layers[target_place]})
USING INDEX target:NeuronState(graph_id, layer, index)
WHERE target.index >= 0
// A subquery a neuron: the server sends its lists while it goes on, and never holds those of all.
CALL (target) {
  MATCH (source:NeuronState)-[edge:INFLUENCES]->(target)
  RETURN source.layer AS source_layer, collect(source.index) AS source_indices, collect(edge.weight) AS weights,
         collect(edge.abs_weight) AS abs_weights
}
RETURN target_place, target.index AS target_index, source_layer, source_indices, weights, abs_weights
