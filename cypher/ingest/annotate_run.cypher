// Gives a run a name, tags and a note, for people; null leaves what is there, '' and [] remove it.
//
// @param  run_id    STRING        run
// @param  called    STRING        name
// @param  tags      LIST<STRING>  tags
// @param  note      STRING        note
// @return run_id    STRING        run; no row where there is none
// @return taken_by  STRING        run that has this name or id; then nothing is changed
// Names are given one after the other: whoever gives one locks a node that every store has.
MATCH (version:SchemaVersion {version: 1})
SET version.is_locked = true
REMOVE version.is_locked
WITH version
MATCH (run:Run {run_id: $run_id})
WITH run, head(COLLECT {
  MATCH (other:Run)
  WHERE $called <> '' AND $called IN [other.name, other.run_id] AND other.run_id <> $run_id
  RETURN other.run_id
}) AS taken_by
FOREACH (_ IN CASE WHEN taken_by IS NULL THEN [1] ELSE [] END |
  SET run.name = CASE WHEN $called IS NULL THEN run.name WHEN $called = '' THEN null ELSE $called END,
      run.tags = CASE WHEN $tags IS NULL THEN run.tags WHEN $tags = [] THEN null ELSE $tags END,
      run.note = CASE WHEN $note IS NULL THEN run.note WHEN $note = '' THEN null ELSE $note END
)
RETURN run.run_id AS run_id, taken_by
