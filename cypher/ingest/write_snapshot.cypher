// Makes a snapshot of a stage, or brings it up to date.
//
// @param  stage_id     STRING   stage
// @param  snapshot_id  STRING   snapshot
// @param  epoch        INTEGER  of its stage
// @param  loss         FLOAT    at the end of the epoch; null leaves it
// @param  accuracy     FLOAT    at the end of the epoch; null leaves it
// @return snapshot_id  STRING   snapshot
MATCH (stage:Stage {stage_id: $stage_id})
MERGE (snapshot:Snapshot {snapshot_id: $snapshot_id})
SET snapshot.epoch = $epoch,
    snapshot.loss = coalesce($loss, snapshot.loss),
    snapshot.accuracy = coalesce($accuracy, snapshot.accuracy)
MERGE (stage)-[:HAS_SNAPSHOT]->(snapshot)
RETURN snapshot.snapshot_id AS snapshot_id
