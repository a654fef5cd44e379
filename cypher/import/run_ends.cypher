// Gives runs of an archive, which are all there now, the status that they had.
//
// @param  rows     LIST<MAP>  run_id and status, a map a run
// @return written  INTEGER    how many; fewer where a run is being deleted
UNWIND $rows AS row
MATCH (run:Run {run_id: row.run_id})
SET run.is_locked = true
REMOVE run.is_locked
WITH row, run WHERE run.status <> 'deleting'
SET run.status = row.status
RETURN count(*) AS written
