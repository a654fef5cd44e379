// Makes a stage of a run, or brings it up to date; the run too, where it is missing.
//
// @param  run_id      STRING   run
// @param  stage_id    STRING   stage
// @param  position    INTEGER  of the stage in its run, from 1
// @param  kind        STRING   such as 'full' or 'targeted'; null leaves it
// @param  properties  MAP      further properties of the stage
// @return stage_id    STRING   stage
MERGE (run:Run {run_id: $run_id})
ON CREATE SET run.started_at = datetime(), run.status = 'unknown'
MERGE (stage:Stage {stage_id: $stage_id})
SET stage += $properties, stage.position = $position, stage.kind = coalesce($kind, stage.kind, 'unknown')
MERGE (run)-[:HAS_STAGE]->(stage)
RETURN stage.stage_id AS stage_id
