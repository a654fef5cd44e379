// Puts neurons into neuron sets of an archive.
//
// @param  rows     LIST<MAP>  neuron_set_id, run_id, layer and index, a map a neuron
// @return written  INTEGER    how many
UNWIND $rows AS row
MATCH (neuron_set:NeuronSet {neuron_set_id: row.neuron_set_id})
MATCH (neuron:Neuron {run_id: row.run_id, layer: row.layer, index: row.index})
USING INDEX neuron:Neuron(run_id, layer, index)
MERGE (neuron_set)-[:SELECTS]->(neuron)
RETURN count(*) AS written
