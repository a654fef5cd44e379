// Says that a stage trains a neuron set, and no other.
//
// @param  stage_id       STRING  stage
// @param  neuron_set_id  STRING  neuron set
// @return stage_id       STRING  stage; no row where one of the two is missing
MATCH (stage:Stage {stage_id: $stage_id})
MATCH (neuron_set:NeuronSet {neuron_set_id: $neuron_set_id})
OPTIONAL MATCH (stage)-[other:TRAINS]->(set:NeuronSet)
WHERE set.neuron_set_id <> $neuron_set_id
DELETE other
WITH DISTINCT stage, neuron_set
MERGE (stage)-[:TRAINS]->(neuron_set)
RETURN stage.stage_id AS stage_id
