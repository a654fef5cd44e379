// The neuron sets of a run, as they are written to an archive.
//
// @param  run_id      STRING  run
// @return run_id      STRING  the same
// @return properties  MAP     all of the set
MATCH (neuron_set:NeuronSet {run_id: $run_id})
RETURN $run_id AS run_id, properties(neuron_set) AS properties
ORDER BY neuron_set.neuron_set_id
