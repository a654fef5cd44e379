// Deletes a batch of the matches between the neurons of two runs, or of one run and any other, in either direction.
//
// @param  run_id        STRING   the one run
// @param  other_run_id  STRING   the other; null for any
// @param  batch_size    INTEGER  how many at most
// @return deleted       INTEGER  how many
MATCH (:Neuron {run_id: $run_id})-[match:MATCHES]-(other:Neuron)
WHERE $other_run_id IS NULL OR other.run_id = $other_run_id
WITH DISTINCT match LIMIT $batch_size
DELETE match
RETURN count(*) AS deleted
