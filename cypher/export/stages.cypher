// The stages of a run, as they are written to an archive.
//
// @param  run_id         STRING  run
// @return run_id         STRING  the same
// @return neuron_set_id  STRING  neuron set that the stage trains, or null
// @return properties     MAP     all of the stage
MATCH (:Run {run_id: $run_id})-[:HAS_STAGE]->(stage:Stage)
OPTIONAL MATCH (stage)-[:TRAINS]->(neuron_set:NeuronSet)
RETURN $run_id AS run_id, neuron_set.neuron_set_id AS neuron_set_id, properties(stage) AS properties
ORDER BY stage.position, neuron_set_id
