// Makes a neuron set, yielded by circuits of its run, or brings it up to date.
//
// @param  circuit_ids    LIST<STRING>  circuits that it was chosen from
// @param  neuron_set_id  STRING        neuron set
// @param  run_id         STRING        run
// @param  set_hash       STRING        of the neurons
// @param  policy         STRING        that chose them
// @param  budget         FLOAT         share of a layer's neurons
// @param  size           INTEGER       how many neurons
// @param  scoring_flops  INTEGER       of the scores that it was chosen by [default null]
// @return neuron_set_id  STRING        neuron set
MERGE (neuron_set:NeuronSet {neuron_set_id: $neuron_set_id})
SET neuron_set.run_id = $run_id, neuron_set.set_hash = $set_hash, neuron_set.policy = $policy,
    neuron_set.budget = $budget, neuron_set.size = $size,
    neuron_set.scoring_flops = $scoring_flops
WITH neuron_set
CALL (neuron_set) {
  MATCH (circuit:Circuit) WHERE circuit.circuit_id IN $circuit_ids
  MERGE (circuit)-[:YIELDS]->(neuron_set)
}
RETURN neuron_set.neuron_set_id AS neuron_set_id
