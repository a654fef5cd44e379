// The snapshots of a run, as they are written to an archive.
//
// @param  run_id      STRING  run
// @return stage_id    STRING  stage of the snapshot
// @return next_id     STRING  snapshot that follows, or null
// @return properties  MAP     all of the snapshot
MATCH (:Run {run_id: $run_id})-[:HAS_STAGE]->(stage:Stage)-[:HAS_SNAPSHOT]->(snapshot:Snapshot)
OPTIONAL MATCH (snapshot)-[:NEXT]->(following:Snapshot)
RETURN stage.stage_id AS stage_id, following.snapshot_id AS next_id, properties(snapshot) AS properties
ORDER BY stage.position, snapshot.epoch
