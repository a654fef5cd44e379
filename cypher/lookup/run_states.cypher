// All runs and how they are.
//
// @return run_id  STRING  run
// @return status  STRING  such as 'running', 'complete', 'deleting' or 'importing'
MATCH (run:Run)
RETURN run.run_id AS run_id, run.status AS status
ORDER BY run_id
