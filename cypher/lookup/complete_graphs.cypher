// Complete graphs and when they were written, to see whether any was replaced or deleted meanwhile.
//
// @param  graph_ids   LIST<STRING>  these
// @param  run_ids     LIST<STRING>  and all of these runs
// @param  everything  BOOLEAN       or all that there are
// @return graph_id    STRING        graph; it may be there twice
// @return written_at  STRING        when its writer ended
CALL () {
  UNWIND $graph_ids AS graph_id
  MATCH (graph:AttributionGraph {graph_id: graph_id})
  USING INDEX graph:AttributionGraph(graph_id)
  RETURN graph
  UNION ALL
  UNWIND $run_ids AS run_id
  MATCH (graph:AttributionGraph {run_id: run_id})
  USING INDEX graph:AttributionGraph(run_id)
  RETURN graph
  UNION ALL
  UNWIND CASE WHEN $everything THEN ['complete'] ELSE [] END AS status
  MATCH (graph:AttributionGraph {status: status})
  USING INDEX graph:AttributionGraph(status)
  RETURN graph
}
WITH graph WHERE graph.status = 'complete'
RETURN graph.graph_id AS graph_id, toString(graph.written_at) AS written_at
