// Which of some neurons a graph has not.
//
// @param  holder_id  STRING         graph
// @param  layers     LIST<STRING>   a value a neuron, as in all lists
// @param  indices    LIST<INTEGER>  of the neuron in its layer
// @return name       STRING         '<layer>/<index>' of a missing one, in the order asked
UNWIND range(0, size($layers) - 1) AS row
WITH row WHERE NOT EXISTS {
  MATCH (state:NeuronState {graph_id: $holder_id, layer: $layers[row], index: $indices[row]})
  USING INDEX state:NeuronState(graph_id, layer, index)
}
RETURN $layers[row] + '/' + $indices[row] AS name
ORDER BY row
