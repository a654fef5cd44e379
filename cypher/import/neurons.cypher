// Writes neurons of an archive.
//
// @param  rows     LIST<MAP>  run_id, layer, index and kind, a map a neuron
// @return written  INTEGER    how many
UNWIND $rows AS row
MERGE (neuron:Neuron {run_id: row.run_id, layer: row.layer, index: row.index})
SET neuron.kind = row.kind
RETURN count(*) AS written
