// Those of some runs that are being deleted.
//
// @param  run_ids  LIST<STRING>  runs
// @return run_id   STRING        run that is being deleted
MATCH (run:Run) WHERE run.run_id IN $run_ids AND run.status = 'deleting'
RETURN run.run_id AS run_id
ORDER BY run_id
