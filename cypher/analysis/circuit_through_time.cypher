// How much of a stored circuit is there in every graph of its run, of its graph's method and target, epoch by epoch.
//
// @topic time
// @param  circuit_id     STRING   circuit
// @return stage          INTEGER  position of the stage in its run
// @return epoch          INTEGER  of the stage
// @return share          FLOAT    part of the circuit's edges, those between its neurons, that are stored with the same sign
// @return relative_mass  FLOAT    |weight| of its edges there over the same in its own graph
// @return graph_id       STRING   graph
MATCH (circuit:Circuit {circuit_id: $circuit_id})-[:FOUND_IN]->(own:AttributionGraph {status: 'complete'})
MATCH (circuit)-[:CONTAINS]->(to:NeuronState)<-[edge:INFLUENCES]-(from:NeuronState)
WHERE EXISTS { (from)<-[:CONTAINS]-(circuit) }
WITH own, to.layer AS layer, to.index AS index, sum(edge.abs_weight) AS mass,
     collect({layer: from.layer, index: from.index, sign: sign(edge.weight)}) AS sources
WITH own, collect({layer: layer, index: index, sources: sources}) AS targets, sum(size(sources)) AS edge_count,
     sum(mass) AS own_mass
MATCH (:Run {run_id: own.run_id})-[:HAS_STAGE]->(stage:Stage)-[:HAS_SNAPSHOT]->(snapshot:Snapshot)-[:HAS_GRAPH]->
      (graph:AttributionGraph {status: 'complete', method: own.method, target: own.target})
CALL (graph, targets) {
  UNWIND targets AS known
  MATCH (target:NeuronState {graph_id: graph.graph_id, layer: known.layer, index: known.index})
  USING INDEX target:NeuronState(graph_id, layer, index)
  MATCH (target)<-[edge:INFLUENCES]-(source:NeuronState)
  WITH edge, [from IN known.sources WHERE from.index = source.index AND from.layer = source.layer | from.sign][0] AS sign
  WHERE sign IS NOT NULL
  RETURN sum(CASE sign(edge.weight) WHEN sign THEN 1 ELSE 0 END) AS held, sum(edge.abs_weight) AS mass
}
RETURN stage.position AS stage, snapshot.epoch AS epoch, toFloat(held) / edge_count AS share,
       CASE own_mass WHEN 0 THEN 0.0 ELSE mass / own_mass END AS relative_mass, graph.graph_id AS graph_id
ORDER BY stage, epoch
