// Makes a neuron set, or brings it up to date; no circuit yields it until `complete_neuron_set`.
//
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
RETURN neuron_set.neuron_set_id AS neuron_set_id
