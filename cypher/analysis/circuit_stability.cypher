// How a run's strongest edges change from epoch to epoch: a circuit of the top_k edges of each graph, and what it shares.
//
// @topic time
// @param  run_id       STRING   run
// @param  method       STRING   only graphs of this method [default "deeplift"]
// @param  target       STRING   only graphs of this target, such as 'class:3' [default "label"]
// @param  top_k        INTEGER  how many edges make a circuit [default 100]
// @return stage        INTEGER  position of the stage in its run
// @return epoch        INTEGER  of the stage
// @return edge_count   INTEGER  edges of the circuit
// @return born         INTEGER  edges that the circuit of the graph before has not
// @return died         INTEGER  edges of the circuit before that it has no more
// @return jaccard      FLOAT    edges in both circuits over edges in one or both; 0 for the first
// @return jaccard_last FLOAT    the same against the last circuit of the run: 1 once it stays as it is
// @return graph_id     STRING   graph
MATCH (:Run {run_id: $run_id})-[:HAS_STAGE]->(stage:Stage)-[:HAS_SNAPSHOT]->(snapshot:Snapshot)-[:HAS_GRAPH]->
      (graph:AttributionGraph {status: 'complete', method: $method, target: $target})
CALL (graph) {
  MATCH (graph)-[:HAS_STATE]->(target:NeuronState)<-[edge:INFLUENCES]-(source:NeuronState)
  WITH source, target, edge.abs_weight AS strength
  ORDER BY strength DESC, source.layer, source.index, target.layer, target.index
  LIMIT $top_k
  RETURN collect(source.layer + '/' + source.index + ' ' + target.layer + '/' + target.index) AS edges
}
WITH stage.position AS stage, snapshot.epoch AS epoch, graph.graph_id AS graph_id, edges
ORDER BY stage, epoch
WITH collect({stage: stage, epoch: epoch, graph_id: graph_id, edges: edges}) AS circuits
UNWIND range(0, size(circuits) - 1) AS place
WITH circuits[place] AS circuit, circuits[-1].edges AS last,
     CASE place WHEN 0 THEN [] ELSE circuits[place - 1].edges END AS before
WITH circuit, last, before, size(circuit.edges) AS edge_count,
     size([edge IN circuit.edges WHERE edge IN before]) AS kept,
     size([edge IN circuit.edges WHERE edge IN last]) AS lasting
WHERE edge_count > 0 AND size(last) > 0
RETURN circuit.stage AS stage, circuit.epoch AS epoch, edge_count, edge_count - kept AS born,
       size(before) - kept AS died, toFloat(kept) / (edge_count + size(before) - kept) AS jaccard,
       toFloat(lasting) / (edge_count + size(last) - lasting) AS jaccard_last, circuit.graph_id AS graph_id
ORDER BY stage, epoch
