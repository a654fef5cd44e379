// Joins the snapshots of a run by NEXT, in the order of stages and epochs.
//
// @param  run_id      STRING   run
// @return link_count  INTEGER  how many pairs are joined
MATCH (run:Run {run_id: $run_id})
// Taking the run's lock lets two writers of one run join its snapshots one after the other.
SET run.linked_at = datetime()
WITH run
MATCH (run)-[:HAS_STAGE]->(stage:Stage)-[:HAS_SNAPSHOT]->(snapshot:Snapshot)
WITH snapshot ORDER BY stage.position, snapshot.epoch
WITH collect(snapshot) AS snapshots
UNWIND range(0, size(snapshots) - 1) AS place
WITH snapshots[place] AS snapshot, snapshots[place + 1] AS following
OPTIONAL MATCH (snapshot)-[stale:NEXT]->(other:Snapshot)
WHERE following IS NULL OR other.snapshot_id <> following.snapshot_id
DELETE stale
WITH DISTINCT snapshot, following
WHERE following IS NOT NULL
MERGE (snapshot)-[:NEXT]->(following)
RETURN count(*) AS link_count
