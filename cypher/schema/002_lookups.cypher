// What queries start from beside an id: all neurons of a run, all circuits and neuron sets of a query or a hash.
CREATE INDEX neuron_run IF NOT EXISTS
FOR (neuron:Neuron) ON (neuron.run_id);

CREATE INDEX circuit_query IF NOT EXISTS
FOR (circuit:Circuit) ON (circuit.query);

CREATE INDEX neuron_set_hash IF NOT EXISTS
FOR (neuron_set:NeuronSet) ON (neuron_set.set_hash);

CREATE INDEX graph_status IF NOT EXISTS
FOR (graph:AttributionGraph) ON (graph.status);

CREATE INDEX graph_run IF NOT EXISTS
FOR (graph:AttributionGraph) ON (graph.run_id);

CREATE INDEX state_graph IF NOT EXISTS
FOR (state:NeuronState) ON (state.graph_id);
