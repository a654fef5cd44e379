// Says that a circuit is what was found in its graph, if it holds as many states as were to be written.
//
// @param  graph_id    STRING   graph
// @param  circuit_id  STRING   circuit
// @param  size        INTEGER  states that were to be written
// @return found       INTEGER  states that are there; no row where the graph is no longer complete
MATCH (graph:AttributionGraph {graph_id: $graph_id})
SET graph.is_locked = true
REMOVE graph.is_locked
WITH graph WHERE graph.status = 'complete'
MATCH (circuit:Circuit {circuit_id: $circuit_id})
WITH circuit, COUNT { (circuit)-[:CONTAINS]->(:NeuronState) } AS found
SET circuit.is_stale = found <> $size
RETURN found
