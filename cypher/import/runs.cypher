// Writes runs of an archive, and their experiments; their status comes last, by query `run_ends`.
//
// @param  rows     LIST<MAP>  run_id, experiment (or null) and properties, a map a run
// @return written  INTEGER    how many
UNWIND $rows AS row
MERGE (run:Run {run_id: row.run_id})
SET run = row.properties, run.status = 'importing'
FOREACH (name IN CASE WHEN row.experiment IS NULL THEN [] ELSE [row.experiment] END |
  MERGE (experiment:Experiment {name: name})
  MERGE (experiment)-[:HAS_RUN]->(run)
)
RETURN count(*) AS written
