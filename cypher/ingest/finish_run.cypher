// Says how a run ended.
//
// @param  run_id  STRING  run
// @param  status  STRING  such as 'complete' or 'failed'
// @return run_id  STRING  run; no row where there is none
MATCH (run:Run {run_id: $run_id})
SET run.status = $status, run.finished_at = datetime()
RETURN run.run_id AS run_id
