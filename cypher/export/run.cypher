// A run, as it is written to an archive.
//
// @param  run_id      STRING  run
// @return experiment  STRING  name of its experiment, or null
// @return properties  MAP     all of the run
MATCH (run:Run {run_id: $run_id})
OPTIONAL MATCH (experiment:Experiment)-[:HAS_RUN]->(run)
RETURN experiment.name AS experiment, properties(run) AS properties
ORDER BY experiment
