// Writes neuron sets of an archive.
//
// @param  rows     LIST<MAP>  neuron_set_id and properties, a map a set
// @return written  INTEGER    how many
UNWIND $rows AS row
MERGE (neuron_set:NeuronSet {neuron_set_id: row.neuron_set_id})
SET neuron_set = row.properties
RETURN count(*) AS written
