// The circuits that are kept: which query found them, in which graph, how large they are, and what was chosen from them.
//
// @topic provenance
// @param  run_id          STRING   only circuits of this run [default null]
// @param  query           STRING   only what this query found [default null]
// @return circuit_id      STRING   circuit
// @return query           STRING   that found it
// @return parameters      STRING   it was asked with, as JSON
// @return neuron_count    INTEGER  neurons
// @return edge_count      INTEGER  stored edges between them
// @return neuron_share    FLOAT    neurons over those of the graph
// @return is_stale        BOOLEAN  whether the graph was written anew since
// @return neuron_set_ids  LIST<STRING>  sets that were chosen from it
// @return graph_id        STRING   graph that was asked
MATCH (circuit:Circuit)-[:FOUND_IN]->(graph:AttributionGraph {status: 'complete'})
WHERE ($run_id IS NULL OR graph.run_id = $run_id) AND ($query IS NULL OR circuit.query = $query)
WITH circuit, graph, COUNT { (circuit)-[:CONTAINS]->(:NeuronState) } AS neuron_count
RETURN circuit.circuit_id AS circuit_id, circuit.query AS query, circuit.parameters AS parameters, neuron_count,
       COUNT { (circuit)-[:CONTAINS]->(:NeuronState)<-[:INFLUENCES]-(:NeuronState)<-[:CONTAINS]-(circuit) } AS edge_count,
       toFloat(neuron_count) / graph.node_count AS neuron_share, circuit.is_stale AS is_stale,
       COLLECT { MATCH (circuit)-[:YIELDS]->(chosen:NeuronSet) RETURN chosen.neuron_set_id AS id ORDER BY id }
         AS neuron_set_ids,
       graph.graph_id AS graph_id
ORDER BY circuit_id
