// Hides a run's graphs from readers, as the first step of its deletion.
//
// @param  run_id     STRING        run
// @param  writer     STRING        token of who deletes it
// @return run_id     STRING        run; no row where there is no such run
// @return graph_ids  LIST<STRING>  its graphs
MATCH (run:Run {run_id: $run_id})
SET run.status = 'deleting'
WITH run
// Not by way of its snapshots: an import that was cut short has graphs that hang on none yet.
OPTIONAL MATCH (graph:AttributionGraph {run_id: run.run_id})
SET graph.status = 'deleting', graph.writer = $writer
WITH run, graph
// The second lane of who writes it ends first (see write_edges).
OPTIONAL MATCH (:Snapshot)-[held:HAS_GRAPH]->(graph)
SET held.is_locked = true
REMOVE held.is_locked
WITH DISTINCT run, graph
RETURN run.run_id AS run_id, collect(graph.graph_id) AS graph_ids
