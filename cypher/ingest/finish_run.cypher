// Says how a run ended.
//
// @param  run_id  STRING  run
// @param  status  STRING  such as 'complete' or 'failed'
// @return run_id  STRING  run; no row where there is none, or it is being deleted
MATCH (run:Run {run_id: $run_id})
SET run.is_locked = true
REMOVE run.is_locked
WITH run WHERE coalesce(run.status, '') <> 'deleting'
SET run.status = $status, run.finished_at = datetime()
RETURN run.run_id AS run_id
