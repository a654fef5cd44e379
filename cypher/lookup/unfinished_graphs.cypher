// Graphs that are neither complete nor gone: being written or deleted now, or left so by a process that ended.
//
// @return graph_id  STRING   graph
// @return run_id    STRING   run
// @return status    STRING   writing or deleting
// @return seconds   INTEGER  since the last batch
MATCH (graph:AttributionGraph)
WHERE graph.status IN ['writing', 'deleting']
RETURN graph.graph_id AS graph_id, graph.run_id AS run_id, graph.status AS status,
       toInteger(datetime().epochSeconds - coalesce(graph.written_at.epochSeconds, 0)) AS seconds
ORDER BY graph_id
