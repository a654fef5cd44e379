// Puts states of a graph into a circuit.
//
// @param  graph_id    STRING         graph
// @param  circuit_id  STRING         circuit
// @param  layers      LIST<STRING>   a value a state, as in all lists
// @param  indices     LIST<INTEGER>  of the neuron in its layer
// @return written     INTEGER        how many
MATCH (circuit:Circuit {circuit_id: $circuit_id})
UNWIND range(0, size($layers) - 1) AS row
MATCH (state:NeuronState {graph_id: $graph_id, layer: $layers[row], index: $indices[row]})
USING INDEX state:NeuronState(graph_id, layer, index)
MERGE (circuit)-[:CONTAINS]->(state)
RETURN count(*) AS written
