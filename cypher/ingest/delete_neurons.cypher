// Deletes a batch of the neurons of a run, whose states are gone.
//
// @param  run_id      STRING   run
// @param  batch_size  INTEGER  how many at most
// @return deleted     INTEGER  how many
MATCH (neuron:Neuron {run_id: $run_id})
WITH neuron LIMIT $batch_size
DETACH DELETE neuron
RETURN count(*) AS deleted
