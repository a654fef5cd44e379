// One run with everything that is known of it.
//
// @param  run_id      STRING  run
// @return experiment  STRING  its experiment
// @return properties  MAP     its properties
MATCH (run:Run {run_id: $run_id})
OPTIONAL MATCH (experiment:Experiment)-[:HAS_RUN]->(run)
RETURN experiment.name AS experiment, properties(run) AS properties
