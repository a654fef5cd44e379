// How far the runs of an experiment, mostly its seeds, agree on which neurons matter, once their neurons are matched.
//
// Compared are the last graphs of each two runs that were matched by `GraphStore.save_matches`.
//
// @topic time
// @param  experiment    STRING   name of the experiment
// @param  method        STRING   only graphs of this method [default "deeplift"]
// @param  target        STRING   only graphs of this target, such as 'class:3' [default "label"]
// @param  top_k         INTEGER  how many units and channels of most influence are compared [default 20]
// @return run_id        STRING   the one run
// @return other_run_id  STRING   the other
// @return shared        INTEGER  neurons among the top_k of the one whose match is among the top_k of the other
// @return jaccard       FLOAT    shared over all that are in one of the two
// @return correlation   FLOAT    mean of the one's top_k with their matches
MATCH (:Experiment {name: $experiment})-[:HAS_RUN]->(run:Run)
CALL (run) {
  MATCH (run)-[:HAS_STAGE]->(stage:Stage)-[:HAS_SNAPSHOT]->(snapshot:Snapshot)-[:HAS_GRAPH]->
        (graph:AttributionGraph {status: 'complete', method: $method, target: $target})
  RETURN graph ORDER BY stage.position DESC, snapshot.epoch DESC LIMIT 1
}
WITH run.run_id AS run_id, COLLECT {
  MATCH (graph)-[:HAS_STATE]->(state:NeuronState)
  WHERE state.kind IN ['unit', 'channel']
  WITH state ORDER BY state.total_out DESC, state.layer, state.index LIMIT $top_k
  MATCH (state)-[:STATE_OF]->(neuron:Neuron)
  RETURN neuron
} AS top
WITH collect({run_id: run_id, top: top}) AS runs
UNWIND runs AS one
UNWIND runs AS other
WITH one, other WHERE one.run_id < other.run_id
CALL (one, other) {
  UNWIND one.top AS neuron
  MATCH (neuron)-[match:MATCHES]-(partner:Neuron {run_id: other.run_id})
  RETURN count(*) AS matched, sum(CASE WHEN partner IN other.top THEN 1 ELSE 0 END) AS shared,
         avg(match.correlation) AS correlation
}
WITH one, other, shared, correlation WHERE matched > 0
RETURN one.run_id AS run_id, other.run_id AS other_run_id, shared,
       toFloat(shared) / (size(one.top) + size(other.top) - shared) AS jaccard, correlation
ORDER BY run_id, other_run_id
