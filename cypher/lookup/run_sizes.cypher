// How much each run has in graphs that can be read, as noted when they were written, the largest first.
//
// @return run_id       STRING   run
// @return status       STRING   such as 'running' or 'complete'
// @return graph_count  INTEGER  complete graphs
// @return state_count  INTEGER  neurons in them
// @return edge_count   INTEGER  edges in them
MATCH (run:Run)
OPTIONAL MATCH (run)-[:HAS_STAGE]->(:Stage)-[:HAS_SNAPSHOT]->(:Snapshot)-[:HAS_GRAPH]->
      (graph:AttributionGraph {status: 'complete'})
WITH run, count(graph) AS graph_count, coalesce(sum(graph.node_count), 0) AS state_count,
     coalesce(sum(graph.edge_count), 0) AS edge_count
RETURN run.run_id AS run_id, run.status AS status, graph_count, state_count, edge_count
ORDER BY edge_count DESC, run_id
