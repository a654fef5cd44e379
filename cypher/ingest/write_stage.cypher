// Makes a stage of a run, or brings it up to date; the run too, where it is missing.
//
// @param  run_id      STRING   run
// @param  stage_id    STRING   stage
// @param  position    INTEGER  of the stage in its run, from 1
// @param  kind        STRING   such as 'full' or 'targeted'; null leaves it
// @param  properties  MAP      further properties of the stage
// @param  makes_run   BOOLEAN  whether a missing run is made
// @return stage_id    STRING   stage; no row where the run is missing, or is being deleted
FOREACH (_ IN CASE WHEN $makes_run THEN [1] ELSE [] END |
  MERGE (run:Run {run_id: $run_id})
  ON CREATE SET run.started_at = datetime(), run.status = 'unknown'
)
WITH 1 AS one
MATCH (run:Run {run_id: $run_id})
// Locked before its status is read: nobody begins to delete it in between.
SET run.is_locked = true
REMOVE run.is_locked
WITH run WHERE coalesce(run.status, '') <> 'deleting'
MERGE (stage:Stage {stage_id: $stage_id})
SET stage += $properties, stage.position = $position, stage.kind = coalesce($kind, stage.kind, 'unknown')
MERGE (run)-[:HAS_STAGE]->(stage)
RETURN stage.stage_id AS stage_id
