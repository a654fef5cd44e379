// Says which neurons of an archive's runs match each other.
//
// @param  rows     LIST<MAP>  run_id, layer, index, other_run_id, other_index and correlation, a map a match
// @return written  INTEGER    how many
UNWIND $rows AS row
MATCH (neuron:Neuron {run_id: row.run_id, layer: row.layer, index: row.index})
USING INDEX neuron:Neuron(run_id, layer, index)
MATCH (other:Neuron {run_id: row.other_run_id, layer: row.layer, index: row.other_index})
USING INDEX other:Neuron(run_id, layer, index)
MERGE (neuron)-[match:MATCHES]->(other)
SET match.correlation = row.correlation
RETURN count(*) AS written
