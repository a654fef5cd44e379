// The neurons that the neuron sets of a run select, as they are written to an archive.
//
// @param  run_id         STRING   run
// @return neuron_set_id  STRING   neuron set
// @return run_id         STRING   run of the neuron
// @return layer          STRING   its layer
// @return index          INTEGER  its place in the layer
MATCH (neuron_set:NeuronSet {run_id: $run_id})-[:SELECTS]->(neuron:Neuron)
RETURN neuron_set.neuron_set_id AS neuron_set_id, neuron.run_id AS run_id, neuron.layer AS layer, neuron.index AS index
ORDER BY neuron_set_id, layer, index
