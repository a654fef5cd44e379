// Which query chose the neurons that a stage trains, and how.
//
// @topic provenance
// @param  stage_id       STRING   stage, '<run_id>/stage_<position>'
// @return query          STRING   name of the query
// @return parameters     STRING   it was asked with, as JSON
// @return policy         STRING   that chose from what it returned
// @return budget         FLOAT    share of a layer's neurons
// @return size           INTEGER  how many neurons were chosen
// @return graph_id       STRING   graph that was asked
// @return circuit_id     STRING   what the query found
// @return neuron_set_id  STRING   what was chosen
// @return query_hash     STRING   of the query's text
// @return result_hash    STRING   of the table it returned
// @return set_hash       STRING   of the neurons chosen
MATCH (:Stage {stage_id: $stage_id})-[:TRAINS]->(neuron_set:NeuronSet)<-[:YIELDS]-(circuit:Circuit)
RETURN circuit.query AS query, circuit.parameters AS parameters, neuron_set.policy AS policy,
       neuron_set.budget AS budget, neuron_set.size AS size, circuit.graph_id AS graph_id,
       circuit.circuit_id AS circuit_id, neuron_set.neuron_set_id AS neuron_set_id, circuit.query_hash AS query_hash,
       circuit.result_hash AS result_hash, neuron_set.set_hash AS set_hash
ORDER BY neuron_set_id, circuit_id
