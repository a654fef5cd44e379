// The neurons that the circuits of a run contain, as they are written to an archive.
//
// @param  run_id      STRING   run
// @return circuit_id  STRING   circuit
// @return graph_id    STRING   graph of the state that it contains
// @return layer       STRING   layer of the neuron
// @return index       INTEGER  its place in the layer
MATCH (:Run {run_id: $run_id})-[:HAS_STAGE]->(:Stage)-[:HAS_SNAPSHOT]->(:Snapshot)-[:HAS_GRAPH]->
      (:AttributionGraph {status: 'complete'})<-[:FOUND_IN]-(circuit:Circuit)-[:CONTAINS]->(state:NeuronState)
RETURN circuit.circuit_id AS circuit_id, state.graph_id AS graph_id, state.layer AS layer, state.index AS index
ORDER BY circuit_id, graph_id, layer, index
