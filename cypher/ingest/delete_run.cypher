// Deletes a run whose graphs and neurons are gone, with its stages, snapshots and neuron sets, and an experiment left without runs.
//
// @param  run_id   STRING   run
// @return deleted  INTEGER  1
MATCH (run:Run {run_id: $run_id})
CALL (run) {
  MATCH (neuron_set:NeuronSet {run_id: run.run_id})
  DETACH DELETE neuron_set
}
CALL (run) {
  MATCH (run)-[:HAS_STAGE]->(:Stage)-[:HAS_SNAPSHOT]->(snapshot:Snapshot)
  DETACH DELETE snapshot
}
CALL (run) {
  MATCH (run)-[:HAS_STAGE]->(stage:Stage)
  DETACH DELETE stage
}
OPTIONAL MATCH (experiment:Experiment)-[:HAS_RUN]->(run)
WITH run, experiment
DETACH DELETE run
WITH experiment
FOREACH (_ IN CASE WHEN experiment IS NOT NULL AND NOT EXISTS { (experiment)-[:HAS_RUN]->() } THEN [1] ELSE [] END |
  DELETE experiment
)
RETURN count(*) AS deleted
