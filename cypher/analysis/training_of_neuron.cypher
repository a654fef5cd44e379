// What trained a neuron, and why: every stage that did, with the query that chose it and what the query's graph said of it.
//
// @topic provenance
// @param  run_id      STRING   run
// @param  layer       STRING   layer of the neuron
// @param  index       INTEGER  its place in the layer
// @return stage       INTEGER  position of the stage in its run
// @return kind        STRING   'full' where the stage trained all neurons, else such as 'targeted'
// @return policy      STRING   that chose it; '' in a full stage, as in all columns from here on
// @return query       STRING   that was asked
// @return parameters  STRING   it was asked with, as JSON
// @return influence   FLOAT    the neuron's outgoing |weight| in the graph that was asked
// @return rank        FLOAT    its place by that in its layer, 1 for the most
// @return graph_id    STRING   graph that was asked
MATCH (neuron:Neuron {run_id: $run_id, layer: $layer, index: $index})
MATCH (:Run {run_id: $run_id})-[:HAS_STAGE]->(stage:Stage)
OPTIONAL MATCH (stage)-[:TRAINS]->(chosen:NeuronSet)-[:SELECTS]->(neuron)
OPTIONAL MATCH (circuit:Circuit)-[:YIELDS]->(chosen)
WITH neuron, stage, chosen, circuit WHERE stage.kind = 'full' OR chosen IS NOT NULL
OPTIONAL MATCH (state:NeuronState {graph_id: circuit.graph_id, layer: neuron.layer, index: neuron.index})
RETURN stage.position AS stage, stage.kind AS kind, coalesce(chosen.policy, '') AS policy,
       coalesce(circuit.query, '') AS query, coalesce(circuit.parameters, '') AS parameters,
       state.total_out AS influence,
       CASE WHEN state IS NULL THEN null ELSE 1.0 + COUNT {
         MATCH (other:NeuronState {graph_id: state.graph_id, layer: state.layer})
         WHERE other.total_out > state.total_out
       } END AS rank,
       coalesce(circuit.graph_id, '') AS graph_id
ORDER BY stage, query, parameters, graph_id
