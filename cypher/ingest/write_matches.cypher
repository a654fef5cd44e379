// Says which neurons of two runs match each other.
//
// @param  run_id         STRING         the one run
// @param  other_run_id   STRING         the other
// @param  layers         LIST<STRING>   layer of both; a value a pair, as in all lists
// @param  indices        LIST<INTEGER>  place of the neuron in the one run
// @param  other_indices  LIST<INTEGER>  place of its match in the other
// @param  correlations   LIST<FLOAT>    of what they compute
// @return written        INTEGER        how many
UNWIND range(0, size($layers) - 1) AS row
MATCH (neuron:Neuron {run_id: $run_id, layer: $layers[row], index: $indices[row]})
USING INDEX neuron:Neuron(run_id, layer, index)
MATCH (other:Neuron {run_id: $other_run_id, layer: $layers[row], index: $other_indices[row]})
USING INDEX other:Neuron(run_id, layer, index)
MERGE (neuron)-[match:MATCHES]->(other)
SET match.correlation = $correlations[row]
RETURN count(*) AS written
