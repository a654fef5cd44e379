// The circuits found in the complete graphs of a run, as they are written to an archive.
//
// @param  run_id          STRING        run
// @return graph_id        STRING        graph that the circuit was found in
// @return neuron_set_ids  LIST<STRING>  neuron sets chosen from it
// @return properties      MAP           all of the circuit
MATCH (:Run {run_id: $run_id})-[:HAS_STAGE]->(:Stage)-[:HAS_SNAPSHOT]->(:Snapshot)-[:HAS_GRAPH]->
      (graph:AttributionGraph {status: 'complete'})<-[:FOUND_IN]-(circuit:Circuit)
RETURN graph.graph_id AS graph_id,
       COLLECT { MATCH (circuit)-[:YIELDS]->(set:NeuronSet) RETURN set.neuron_set_id AS id ORDER BY id } AS neuron_set_ids,
       properties(circuit) AS properties
ORDER BY circuit.circuit_id
