// The k-core of one graph, by Graph Data Science.
//
// @topic subgraphs
// @param  graph_id    STRING   graph that is read
// @param  k           INTEGER  how many edges each neuron has within the core; null for the innermost core [default null]
// @param  projection  STRING   name of the graph projection that is made and dropped [default "attrgraph"]
// @return layer       STRING   layer of the neuron
// @return index       INTEGER  its place in the layer
// @return kind        STRING   input, unit, channel, head, sum, product or output
// @return core        INTEGER  the largest k for which it is in the k-core
// @return influence   FLOAT    sum of |weight| over all outgoing edges
// @requires gds
MATCH (:AttributionGraph {graph_id: $graph_id, status: 'complete'})-[:HAS_STATE]->(target:NeuronState)
MATCH (target)<-[:INFLUENCES]-(source:NeuronState)
WITH gds.graph.project($projection, source, target, {}, {undirectedRelationshipTypes: ['*']}) AS projected
WHERE projected.nodeCount > 0
CALL gds.kcore.stream(projected.graphName) YIELD nodeId, coreValue
WITH collect({state: gds.util.asNode(nodeId), core: coreValue}) AS found, max(coreValue) AS most
CALL gds.graph.drop($projection, false) YIELD graphName
UNWIND found AS row
WITH row.state AS state, row.core AS core, most
WHERE core >= coalesce($k, most)
RETURN state.layer AS layer, state.index AS index, state.kind AS kind, core, state.total_out AS influence
ORDER BY core DESC, layer, index
