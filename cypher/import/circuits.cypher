// Writes circuits of an archive, and which neuron sets they yield.
//
// @param  rows     LIST<MAP>  circuit_id, graph_id, neuron_set_ids and properties, a map a circuit
// @return written  INTEGER    how many
UNWIND $rows AS row
MATCH (graph:AttributionGraph {graph_id: row.graph_id})
MERGE (circuit:Circuit {circuit_id: row.circuit_id})
SET circuit = row.properties
MERGE (circuit)-[:FOUND_IN]->(graph)
WITH circuit, row
CALL (circuit, row) {
  MATCH (neuron_set:NeuronSet) WHERE neuron_set.neuron_set_id IN row.neuron_set_ids
  MERGE (circuit)-[:YIELDS]->(neuron_set)
}
RETURN count(*) AS written
