// Makes the circuit that a query found in a graph, or makes it anew: its members and its evidence of before leave it.
//
// It is stale until `complete_circuit` says that its members are there.
//
// @param  graph_id     STRING  graph that was asked
// @param  circuit_id   STRING  circuit
// @param  query        STRING  name of the query
// @param  query_hash   STRING  of the query's text
// @param  parameters   STRING  of the query, as JSON
// @param  result_hash  STRING  of the table it returned
// @return circuit_id   STRING  circuit; no row where there is no such graph
MATCH (graph:AttributionGraph {graph_id: $graph_id})
// Locked before its state is read: nobody replaces or deletes it in between.
SET graph.is_locked = true
REMOVE graph.is_locked
WITH graph WHERE graph.status = 'complete'
MERGE (circuit:Circuit {circuit_id: $circuit_id})
SET circuit = {
  circuit_id: $circuit_id, graph_id: $graph_id, query: $query, query_hash: $query_hash, parameters: $parameters,
  result_hash: $result_hash, is_stale: true
}
MERGE (circuit)-[:FOUND_IN]->(graph)
WITH circuit
OPTIONAL MATCH (circuit)-[member:CONTAINS]->()
DELETE member
RETURN DISTINCT circuit.circuit_id AS circuit_id
