// Shows a graph to readers, if it holds what was to be written.
//
// @param  graph_id      STRING   graph
// @param  writer        STRING   token of who writes it
// @param  node_count    INTEGER  states that were to be written
// @param  edge_count    INTEGER  edges that were to be written
// @param  content_hash  STRING   of what was to be written
// @return found_nodes   INTEGER  states that are there; no row where another writer took over
// @return found_edges   INTEGER  edges that are there
MATCH (graph:AttributionGraph {graph_id: $graph_id})
SET graph.is_locked = true
REMOVE graph.is_locked
WITH graph WHERE graph.status = 'writing' AND graph.writer = $writer
SET graph.written_at = datetime()
WITH graph
OPTIONAL MATCH (graph)-[:HAS_STATE]->(state:NeuronState)
WITH graph, count(state) AS found_nodes, coalesce(sum(COUNT { (state)-[:INFLUENCES]->() }), 0) AS found_edges
FOREACH (_ IN CASE WHEN found_nodes = $node_count AND found_edges = $edge_count THEN [1] ELSE [] END |
  SET graph.status = 'complete', graph.node_count = $node_count, graph.edge_count = $edge_count,
      graph.content_hash = $content_hash
  REMOVE graph.writer
)
RETURN found_nodes, found_edges
