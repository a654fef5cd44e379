// The strongest paths from the inputs to the outputs of one graph, exactly, by Yen's algorithm on -log(share).
//
// @topic paths
// @param  graph_id    STRING        graph that is read
// @param  top_k       INTEGER       how many paths [default 10]
// @param  output      INTEGER       only paths to the output of this index [default null]
// @param  projection  STRING        name of the graph projection that is made and dropped [default "attrgraph"]
// @return rank        INTEGER       1 for the strongest
// @return neurons     LIST<STRING>  '<layer>/<index>' from input to output
// @return strength    FLOAT         product over the edges of |weight| / total |weight| into the edge's target, times the
//                                   output's part of all the outputs' absolute attribution
// @return sign        INTEGER       1 where the path raises the target score, -1 where it lowers it: product of the signs of
//                                   its edges and of the attributions of the neurons between
// @requires gds
MATCH (snapshot:Snapshot)-[:HAS_GRAPH]->(graph:AttributionGraph {graph_id: $graph_id, status: 'complete'})
WITH snapshot, graph, COLLECT {
  MATCH (graph)-[:HAS_STATE]->(output:NeuronState {kind: 'output'})
  WHERE ($output IS NULL OR output.index = $output) AND output.abs_attribution > 0
  RETURN output
} AS outputs
WITH snapshot, graph, outputs, reduce(total = 0.0, output IN outputs | total + output.abs_attribution) AS total
WHERE total > 0 AND EXISTS { (graph)-[:HAS_STATE]->(:NeuronState {kind: 'input'}) }
// The node of the graph stands before all inputs, that of its snapshot after all outputs: one source and one end for Yen.
CALL (snapshot, graph, outputs, total) {
  MATCH (graph)-[:HAS_STATE]->(target:NeuronState)<-[edge:INFLUENCES]-(source:NeuronState)
  RETURN source AS from, target AS to, edge.abs_weight / target.total_in AS share
  UNION ALL
  MATCH (graph)-[:HAS_STATE]->(input:NeuronState {kind: 'input'})
  RETURN graph AS from, input AS to, 1.0 AS share
  UNION ALL
  UNWIND outputs AS output
  RETURN output AS from, snapshot AS to, output.abs_attribution / total AS share
}
WITH snapshot, graph, gds.graph.project($projection, from, to,
  {relationshipProperties: {cost: CASE WHEN share < 1 THEN -log(share) ELSE 0.0 END}}) AS projected
CALL gds.shortestPath.yens.stream(projected.graphName,
  {sourceNode: graph, targetNode: snapshot, k: $top_k, relationshipWeightProperty: 'cost'})
YIELD nodeIds, totalCost
WITH collect({states: gds.util.asNodes(nodeIds)[1..-1], strength: exp(-totalCost)}) AS paths
CALL gds.graph.drop($projection, false) YIELD graphName
UNWIND paths AS path
WITH path.strength AS strength, path.states AS states, [state IN path.states | state.layer + '/' + state.index] AS neurons
WITH strength, neurons, reduce(sign = 1, factor IN COLLECT {
  UNWIND range(1, size(states) - 1) AS step
  WITH states[step - 1] AS source, states[step] AS target
  MATCH (source)-[edge:INFLUENCES]->(target)
  RETURN sign(edge.weight) * CASE target.kind WHEN 'output' THEN 1 ELSE sign(target.attribution) END
} | sign * factor) AS sign
ORDER BY strength DESC, neurons
WITH collect({neurons: neurons, strength: strength, sign: sign}) AS paths
UNWIND range(1, size(paths)) AS rank
WITH rank, paths[rank - 1] AS path
RETURN rank, path.neurons AS neurons, path.strength AS strength, path.sign AS sign
ORDER BY rank
