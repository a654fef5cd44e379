// Puts neurons of a run into a neuron set.
//
// @param  run_id         STRING         run
// @param  neuron_set_id  STRING         neuron set
// @param  layers         LIST<STRING>   a value a neuron, as in all lists
// @param  indices        LIST<INTEGER>  of the neuron in its layer
// @return written        INTEGER        how many
MATCH (neuron_set:NeuronSet {neuron_set_id: $neuron_set_id})
UNWIND range(0, size($layers) - 1) AS row
MATCH (neuron:Neuron {run_id: $run_id, layer: $layers[row], index: $indices[row]})
USING INDEX neuron:Neuron(run_id, layer, index)
MERGE (neuron_set)-[:SELECTS]->(neuron)
RETURN count(*) AS written
