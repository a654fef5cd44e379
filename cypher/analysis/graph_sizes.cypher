// How many neurons and edges each graph of a run really has, counted and not as noted when it was written.
//
// @topic graphs
// @param  run_id      STRING   run
// @return graph_id    STRING   graph
// @return node_count  INTEGER  neurons found
// @return edge_count  INTEGER  edges found
MATCH (:Run {run_id: $run_id})-[:HAS_STAGE]->(:Stage)-[:HAS_SNAPSHOT]->(:Snapshot)-[:HAS_GRAPH]->
      (graph:AttributionGraph {status: 'complete'})
RETURN graph.graph_id AS graph_id,
       COUNT { (graph)-[:HAS_STATE]->(:NeuronState) } AS node_count,
       COUNT { (graph)-[:HAS_STATE]->(:NeuronState)-[:INFLUENCES]->(:NeuronState) } AS edge_count
ORDER BY graph_id
