// Puts states of graphs into circuits of an archive.
//
// @param  rows     LIST<MAP>  circuit_id, graph_id, layer and index, a map a state
// @return written  INTEGER    how many
UNWIND $rows AS row
MATCH (circuit:Circuit {circuit_id: row.circuit_id})
MATCH (state:NeuronState {graph_id: row.graph_id, layer: row.layer, index: row.index})
USING INDEX state:NeuronState(graph_id, layer, index)
MERGE (circuit)-[:CONTAINS]->(state)
RETURN count(*) AS written
