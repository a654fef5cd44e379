// Which of some neurons a run has not.
//
// @param  holder_id  STRING         run
// @param  layers     LIST<STRING>   a value a neuron, as in all lists
// @param  indices    LIST<INTEGER>  of the neuron in its layer
// @return name       STRING         '<layer>/<index>' of a missing one, in the order asked
UNWIND range(0, size($layers) - 1) AS row
WITH row WHERE NOT EXISTS {
  MATCH (neuron:Neuron {run_id: $holder_id, layer: $layers[row], index: $indices[row]})
  USING INDEX neuron:Neuron(run_id, layer, index)
}
RETURN $layers[row] + '/' + $indices[row] AS name
ORDER BY row
