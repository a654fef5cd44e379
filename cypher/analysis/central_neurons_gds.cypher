// Every unit and channel of one graph by PageRank from the outputs back along the edges, most central first.
//
// @topic neurons
// @param  graph_id    STRING   graph that is read
// @param  projection  STRING   name of the graph projection that is made and dropped [default "attrgraph"]
// @return layer       STRING   layer of the neuron
// @return index       INTEGER  its place in the layer
// @return influence   FLOAT    rank of a walk that starts at the outputs and steps back by |weight|
// @requires gds
MATCH (graph:AttributionGraph {graph_id: $graph_id, status: 'complete'})-[:HAS_STATE]->(state:NeuronState)
OPTIONAL MATCH (state)<-[edge:INFLUENCES]-(source:NeuronState)
WITH graph, gds.graph.project($projection, state, source,
  {relationshipProperties: CASE WHEN edge IS NULL THEN {} ELSE {abs_weight: edge.abs_weight} END}) AS projected
WITH graph, projected, COLLECT {
  MATCH (graph)-[:HAS_STATE]->(output:NeuronState {kind: 'output'})
  RETURN output
} AS outputs
CALL gds.pageRank.stream(projected.graphName, {relationshipWeightProperty: 'abs_weight', sourceNodes: outputs})
YIELD nodeId, score
WITH collect({state: gds.util.asNode(nodeId), score: score}) AS ranked
CALL gds.graph.drop($projection, false) YIELD graphName
UNWIND ranked AS neuron
WITH neuron.state AS state, neuron.score AS influence
WHERE state.kind IN ['unit', 'channel']
RETURN state.layer AS layer, state.index AS index, influence
ORDER BY influence DESC, layer, index
