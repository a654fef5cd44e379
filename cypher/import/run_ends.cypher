// Gives runs of an archive, which are all there now, the status that they had.
//
// @param  rows     LIST<MAP>  run_id and status, a map a run
// @return written  INTEGER    how many
UNWIND $rows AS row
MATCH (run:Run {run_id: row.run_id})
SET run.status = row.status
RETURN count(*) AS written
