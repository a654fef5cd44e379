// Makes an experiment's run, or begins it anew.
//
// @param  run_id        STRING   run
// @param  experiment    STRING   name of its experiment
// @param  seed          INTEGER  of its random numbers
// @param  config_hash   STRING   of its configuration
// @param  code_version  STRING   of the code that ran
// @param  status        STRING   such as 'running'
// @param  configuration   STRING  as JSON; null leaves it
// @param  dagster_run_id  STRING  Dagster's run; null leaves it
// @param  makes_run       BOOLEAN  whether a missing run is made
// @return run_id        STRING   run; no row where it is missing, or is being deleted
FOREACH (_ IN CASE WHEN $makes_run THEN [1] ELSE [] END | MERGE (:Run {run_id: $run_id}))
WITH 1 AS one
MATCH (run:Run {run_id: $run_id})
SET run.is_locked = true
REMOVE run.is_locked
WITH run WHERE coalesce(run.status, '') <> 'deleting'
MERGE (experiment:Experiment {name: $experiment})
// A run that ended and is brought up to date begins anew: it is the newest again.
SET run.started_at = CASE WHEN run.status = 'running' THEN run.started_at ELSE datetime() END
SET run.seed = $seed, run.config_hash = $config_hash, run.code_version = $code_version, run.status = $status,
    run.configuration = coalesce($configuration, run.configuration),
    run.dagster_run_id = coalesce($dagster_run_id, run.dagster_run_id)
REMOVE run.finished_at
MERGE (experiment)-[:HAS_RUN]->(run)
RETURN run.run_id AS run_id
