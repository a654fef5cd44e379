// Deletes a batch of what selects the neurons of a run.
//
// @param  run_id      STRING   run
// @param  batch_size  INTEGER  how many at most
// @return deleted     INTEGER  how many
MATCH (:Neuron {run_id: $run_id})<-[selection:SELECTS]-(:NeuronSet)
WITH selection LIMIT $batch_size
DELETE selection
RETURN count(*) AS deleted
