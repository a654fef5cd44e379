// Which neuron of one run is which of another, as it was matched by the correlation of what they compute.
//
// @topic time
// @param  run_id        STRING   the one run
// @param  other_run_id  STRING   the other; null for all that it was matched with [default null]
// @return other_run_id  STRING   the other run
// @return layer         STRING   layer of both
// @return index         INTEGER  place of the neuron in the one run
// @return other_index   INTEGER  place of its match in the other
// @return correlation   FLOAT    of what they compute, over the same samples
MATCH (neuron:Neuron {run_id: $run_id})-[match:MATCHES]-(other:Neuron)
WHERE $other_run_id IS NULL OR other.run_id = $other_run_id
RETURN other.run_id AS other_run_id, neuron.layer AS layer, neuron.index AS index, other.index AS other_index,
       match.correlation AS correlation
ORDER BY other_run_id, layer, index
