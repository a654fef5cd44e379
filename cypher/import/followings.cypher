// Joins snapshots of an archive to those that follow them.
//
// @param  rows     LIST<MAP>  snapshot_id and next_id, a map a pair
// @return written  INTEGER    how many
UNWIND $rows AS row
MATCH (snapshot:Snapshot {snapshot_id: row.snapshot_id})
MATCH (following:Snapshot {snapshot_id: row.next_id})
MERGE (snapshot)-[:NEXT]->(following)
RETURN count(*) AS written
