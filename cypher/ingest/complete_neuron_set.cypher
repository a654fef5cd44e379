// Says which circuits a neuron set was chosen from, if it selects as many neurons as were to be written.
//
// @param  neuron_set_id  STRING        neuron set
// @param  circuit_ids    LIST<STRING>  circuits that it was chosen from
// @param  size           INTEGER       neurons that were to be written
// @return found          INTEGER       neurons that are there
// @return circuits       INTEGER       circuits that are there, of graphs that are complete
MATCH (neuron_set:NeuronSet {neuron_set_id: $neuron_set_id})
WITH neuron_set, COUNT { (neuron_set)-[:SELECTS]->(:Neuron) } AS found
CALL (neuron_set, found) {
  MATCH (circuit:Circuit)-[:FOUND_IN]->(graph:AttributionGraph)
  WHERE circuit.circuit_id IN $circuit_ids AND found = $size
  WITH circuit, graph ORDER BY graph.graph_id
  // Locked before its status is read: nobody begins to delete what the set rests on in between.
  SET graph.is_locked = true
  REMOVE graph.is_locked
  WITH circuit, graph WHERE graph.status = 'complete'
  MERGE (circuit)-[:YIELDS]->(neuron_set)
  RETURN count(circuit) AS circuits
}
RETURN found, circuits
