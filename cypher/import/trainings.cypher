// Says which neuron sets stages of an archive train.
//
// @param  rows     LIST<MAP>  stage_id and neuron_set_id, a map a stage
// @return written  INTEGER    how many
UNWIND $rows AS row
MATCH (stage:Stage {stage_id: row.stage_id})
MATCH (neuron_set:NeuronSet {neuron_set_id: row.neuron_set_id})
MERGE (stage)-[:TRAINS]->(neuron_set)
RETURN count(*) AS written
