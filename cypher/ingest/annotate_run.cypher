// Gives a run a name, tags and a note, for people; null leaves what is there, '' and [] remove it.
//
// @param  run_id  STRING        run
// @param  called  STRING        name
// @param  tags    LIST<STRING>  tags
// @param  note    STRING        note
// @return run_id  STRING        run; no row where there is none
MATCH (run:Run {run_id: $run_id})
SET run.name = CASE WHEN $called IS NULL THEN run.name WHEN $called = '' THEN null ELSE $called END,
    run.tags = CASE WHEN $tags IS NULL THEN run.tags WHEN $tags = [] THEN null ELSE $tags END,
    run.note = CASE WHEN $note IS NULL THEN run.note WHEN $note = '' THEN null ELSE $note END
RETURN run.run_id AS run_id
