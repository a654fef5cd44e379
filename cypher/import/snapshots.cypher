// Writes snapshots of an archive.
//
// @param  rows     LIST<MAP>  snapshot_id, stage_id and properties, a map a snapshot
// @return written  INTEGER    how many
UNWIND $rows AS row
MATCH (stage:Stage {stage_id: row.stage_id})
MERGE (snapshot:Snapshot {snapshot_id: row.snapshot_id})
SET snapshot = row.properties
MERGE (stage)-[:HAS_SNAPSHOT]->(snapshot)
RETURN count(*) AS written
