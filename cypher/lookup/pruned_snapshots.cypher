// The snapshots of a run whose graphs retention deleted.
//
// @param  run_id       STRING  run
// @return snapshot_id  STRING  snapshot
MATCH (:Run {run_id: $run_id})-[:HAS_STAGE]->(:Stage)-[:HAS_SNAPSHOT]->(snapshot:Snapshot)
WHERE snapshot.pruned_at IS NOT NULL
RETURN snapshot.snapshot_id AS snapshot_id
