// The stages of a run: what each trained, what it ended with, and what is stored of it.
//
// @param  run_id           STRING   run
// @return stage            INTEGER  position in the run
// @return kind             STRING   such as 'full' or 'targeted'
// @return policy           STRING   that chose what it trained; null where it trained all
// @return budget           FLOAT    share of a layer's neurons
// @return trained_neurons  INTEGER  how many neurons it trained
// @return epochs           INTEGER  its last epoch
// @return loss             FLOAT    of its last snapshot
// @return accuracy         FLOAT    of its last snapshot
// @return best_accuracy    FLOAT    of all its snapshots
// @return seconds          FLOAT    of training
// @return graphs           INTEGER  that can be read
// @return edges            INTEGER  stored in them
// @return dagster_run_id   STRING   Dagster's run that made its graphs
MATCH (:Run {run_id: $run_id})-[:HAS_STAGE]->(stage:Stage)
CALL (stage) {
  OPTIONAL MATCH (stage)-[:HAS_SNAPSHOT]->(snapshot:Snapshot)
  WITH snapshot ORDER BY snapshot.epoch
  RETURN last(collect(snapshot)) AS last_snapshot, max(snapshot.accuracy) AS best_accuracy
}
CALL (stage) {
  OPTIONAL MATCH (stage)-[:HAS_SNAPSHOT]->(:Snapshot)-[:HAS_GRAPH]->(graph:AttributionGraph {status: 'complete'})
  RETURN count(graph) AS graphs, coalesce(sum(graph.edge_count), 0) AS edges
}
OPTIONAL MATCH (stage)-[:TRAINS]->(neuron_set:NeuronSet)
RETURN stage.position AS stage, stage.kind AS kind, neuron_set.policy AS policy, neuron_set.budget AS budget,
       stage.trained_neurons AS trained_neurons, last_snapshot.epoch AS epochs, last_snapshot.loss AS loss,
       last_snapshot.accuracy AS accuracy, best_accuracy, stage.seconds AS seconds, graphs, edges,
       stage.dagster_run_id AS dagster_run_id
ORDER BY stage
