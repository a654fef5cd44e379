// The first epoch of its run at which a stored circuit holds, and whether it does from then on. No row if it never does.
//
// @topic time
// @param  circuit_id     STRING   circuit
// @param  min_share      FLOAT    it holds where this part of its edges, those between its neurons, is stored with the same
//                                 sign [default 0.8]
// @return stage          INTEGER  position of the stage in its run
// @return epoch          INTEGER  of the stage
// @return share          FLOAT    part of the circuit's edges that are there
// @return is_lasting     BOOLEAN  whether it holds in every graph from then on
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
WITH stage.position AS stage, snapshot.epoch AS epoch, toFloat(held) / edge_count AS share, graph.graph_id AS graph_id
ORDER BY stage, epoch
WITH collect({stage: stage, epoch: epoch, share: share, graph_id: graph_id}) AS graphs
WITH graphs, [place IN range(0, size(graphs) - 1) WHERE graphs[place].share >= $min_share] AS places
WITH graphs, places, graphs[places[0]] AS first WHERE size(places) > 0
RETURN first.stage AS stage, first.epoch AS epoch, first.share AS share,
       size(places) = size(graphs) - places[0] AS is_lasting, first.graph_id AS graph_id
ORDER BY stage, epoch
