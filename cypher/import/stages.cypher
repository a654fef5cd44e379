// Writes stages of an archive.
//
// @param  rows     LIST<MAP>  stage_id, run_id and properties, a map a stage
// @return written  INTEGER    how many
UNWIND $rows AS row
MATCH (run:Run {run_id: row.run_id})
MERGE (stage:Stage {stage_id: row.stage_id})
SET stage = row.properties
MERGE (run)-[:HAS_STAGE]->(stage)
RETURN count(*) AS written
