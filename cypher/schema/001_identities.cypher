// Every thing has one identity: an id, or a neuron's place.
CREATE CONSTRAINT schema_version IF NOT EXISTS
FOR (version:SchemaVersion) REQUIRE version.version IS UNIQUE;

CREATE CONSTRAINT experiment_name IF NOT EXISTS
FOR (experiment:Experiment) REQUIRE experiment.name IS UNIQUE;

CREATE CONSTRAINT run_id IF NOT EXISTS
FOR (run:Run) REQUIRE run.run_id IS UNIQUE;

CREATE CONSTRAINT stage_id IF NOT EXISTS
FOR (stage:Stage) REQUIRE stage.stage_id IS UNIQUE;

CREATE CONSTRAINT snapshot_id IF NOT EXISTS
FOR (snapshot:Snapshot) REQUIRE snapshot.snapshot_id IS UNIQUE;

CREATE CONSTRAINT graph_id IF NOT EXISTS
FOR (graph:AttributionGraph) REQUIRE graph.graph_id IS UNIQUE;

CREATE CONSTRAINT neuron_place IF NOT EXISTS
FOR (neuron:Neuron) REQUIRE (neuron.run_id, neuron.layer, neuron.index) IS UNIQUE;

CREATE CONSTRAINT neuron_state_place IF NOT EXISTS
FOR (state:NeuronState) REQUIRE (state.graph_id, state.layer, state.index) IS UNIQUE;

CREATE CONSTRAINT circuit_id IF NOT EXISTS
FOR (circuit:Circuit) REQUIRE circuit.circuit_id IS UNIQUE;

CREATE CONSTRAINT neuron_set_id IF NOT EXISTS
FOR (neuron_set:NeuronSet) REQUIRE neuron_set.neuron_set_id IS UNIQUE;
