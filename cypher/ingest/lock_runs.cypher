// Locks runs for as long as the transaction takes: who deletes one waits.
//
// @param  run_ids  LIST<STRING>  runs
// @return run_id   STRING        a run that is there and is not being deleted
MATCH (run:Run) WHERE run.run_id IN $run_ids
WITH run ORDER BY run.run_id
SET run.is_locked = true
REMOVE run.is_locked
WITH run WHERE coalesce(run.status, '') <> 'deleting'
RETURN run.run_id AS run_id
