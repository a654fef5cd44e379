// All runs, newest first, with the figures of each one's last snapshot.
//
// @param  experiment   STRING        only runs of this experiment [default null]
// @param  tag          STRING        only runs with this tag [default null]
// @return run_id       STRING        run
// @return name         STRING        that somebody gave it
// @return tags         LIST<STRING>  that somebody gave it
// @return note         STRING        that somebody wrote
// @return experiment   STRING        its experiment
// @return seed         INTEGER       of its random numbers
// @return status       STRING        such as 'running' or 'complete'
// @return started_at   STRING        when it began, ISO 8601
// @return finished_at  STRING        when it ended, ISO 8601
// @return snapshots    INTEGER       how many epochs it has
// @return graphs       INTEGER       how many graphs can be read
// @return edges        INTEGER       stored edges of all its graphs
// @return loss         FLOAT         of the last snapshot
// @return accuracy     FLOAT         of the last snapshot
MATCH (run:Run)
OPTIONAL MATCH (experiment:Experiment)-[:HAS_RUN]->(run)
WITH run, experiment
WHERE ($experiment IS NULL OR experiment.name = $experiment)
  AND ($tag IS NULL OR $tag IN coalesce(run.tags, []))
CALL (run) {
  OPTIONAL MATCH (run)-[:HAS_STAGE]->(stage:Stage)-[:HAS_SNAPSHOT]->(snapshot:Snapshot)
  WITH stage, snapshot ORDER BY stage.position, snapshot.epoch
  WITH collect(snapshot) AS all_snapshots
  RETURN size(all_snapshots) AS snapshots, last(all_snapshots) AS last_snapshot
}
CALL (run) {
  OPTIONAL MATCH (graph:AttributionGraph {run_id: run.run_id, status: 'complete'})
  RETURN count(graph) AS graphs, coalesce(sum(graph.edge_count), 0) AS edges
}
RETURN run.run_id AS run_id, run.name AS name, coalesce(run.tags, []) AS tags, run.note AS note,
       experiment.name AS experiment, run.seed AS seed, run.status AS status,
       toString(run.started_at) AS started_at, toString(run.finished_at) AS finished_at,
       snapshots, graphs, edges, last_snapshot.loss AS loss, last_snapshot.accuracy AS accuracy
ORDER BY coalesce(started_at, '') DESC, run_id
