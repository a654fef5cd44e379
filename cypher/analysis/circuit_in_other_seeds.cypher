// How much of a circuit's hidden neurons the same question finds in the experiment's other runs, once neurons are matched.
//
// The same question is the same query with the same parameters, asked of the graph of the same stage, epoch, method and
// target. Neurons are matched by `GraphStore.save_matches`; runs without matches have no row.
//
// @topic time
// @param  circuit_id        STRING   circuit
// @return other_run_id      STRING   the other run
// @return other_circuit_id  STRING   its circuit
// @return shared            INTEGER  neurons whose match is in the other circuit
// @return jaccard           FLOAT    shared over all that are in one of the two
MATCH (circuit:Circuit {circuit_id: $circuit_id})-[:FOUND_IN]->(graph:AttributionGraph {status: 'complete'})
MATCH (graph)<-[:HAS_GRAPH]-(snapshot:Snapshot)<-[:HAS_SNAPSHOT]-(stage:Stage)<-[:HAS_STAGE]-(run:Run)
MATCH (run)<-[:HAS_RUN]-(:Experiment)-[:HAS_RUN]->(other:Run)-[:HAS_STAGE]->(:Stage {position: stage.position})
      -[:HAS_SNAPSHOT]->(:Snapshot {epoch: snapshot.epoch})-[:HAS_GRAPH]->
      (twin:AttributionGraph {status: 'complete', method: graph.method, target: graph.target})
      <-[:FOUND_IN]-(other_circuit:Circuit {query: circuit.query, query_hash: circuit.query_hash})
WHERE other <> run
  AND replace(circuit.parameters, graph.graph_id, '') = replace(other_circuit.parameters, twin.graph_id, '')
WITH other, other_circuit, twin,
     COLLECT { MATCH (circuit)-[:CONTAINS]->(state:NeuronState)-[:STATE_OF]->(neuron:Neuron)
               WHERE state.kind IN ['unit', 'channel', 'head'] RETURN neuron } AS neurons,
     COLLECT { MATCH (other_circuit)-[:CONTAINS]->(state:NeuronState)-[:STATE_OF]->(neuron:Neuron)
               WHERE state.kind IN ['unit', 'channel', 'head'] RETURN neuron } AS others
WITH other, other_circuit, neurons, others,
     COLLECT { UNWIND neurons AS neuron MATCH (neuron)-[:MATCHES]-(match:Neuron {run_id: other.run_id}) RETURN match }
     AS matches
WITH other, other_circuit, neurons, others, size([match IN matches WHERE match IN others]) AS shared, matches
WHERE size(matches) > 0
RETURN other.run_id AS other_run_id, other_circuit.circuit_id AS other_circuit_id, shared,
       toFloat(shared) / (size(neurons) + size(others) - shared) AS jaccard
ORDER BY other_run_id, other_circuit_id
