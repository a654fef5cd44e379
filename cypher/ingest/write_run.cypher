// Makes an experiment's run, or brings it up to date.
//
// @param  run_id        STRING   run
// @param  experiment    STRING   name of its experiment
// @param  seed          INTEGER  of its random numbers
// @param  config_hash   STRING   of its configuration
// @param  code_version  STRING   of the code that ran
// @param  status        STRING   such as 'running'
// @return run_id        STRING   run
MERGE (experiment:Experiment {name: $experiment})
MERGE (run:Run {run_id: $run_id})
ON CREATE SET run.started_at = datetime()
SET run.seed = $seed, run.config_hash = $config_hash, run.code_version = $code_version, run.status = $status
REMOVE run.finished_at
MERGE (experiment)-[:HAS_RUN]->(run)
RETURN run.run_id AS run_id
