// Which query led to the most accuracy gained per trained weight, over all stages that trained what it chose.
//
// The gain of a stage is the accuracy of its last epoch less that of the last epoch of the stage before.
//
// @topic provenance
// @param  experiment       STRING   only runs of this experiment [default null]
// @return query            STRING   name of the query
// @return policy           STRING   that chose from what it returned
// @return budget           FLOAT    share of a layer's neurons
// @return stage_count      INTEGER  stages, over all runs
// @return gain             FLOAT    mean gain of accuracy
// @return trained_weights  FLOAT    mean number of weights trained
// @return gain_per_weight  FLOAT    sum of gains over sum of weights, for a million weights
MATCH (experiment:Experiment)-[:HAS_RUN]->(run:Run)-[:HAS_STAGE]->(stage:Stage)-[:TRAINS]->(chosen:NeuronSet)
WHERE ($experiment IS NULL OR experiment.name = $experiment) AND stage.trained_weights > 0
MATCH (run)-[:HAS_STAGE]->(before:Stage {position: stage.position - 1})
WITH stage, chosen,
     COLLECT { MATCH (stage)-[:HAS_SNAPSHOT]->(snapshot:Snapshot) WHERE snapshot.accuracy IS NOT NULL
               RETURN snapshot.accuracy ORDER BY snapshot.epoch DESC LIMIT 1 }[0] AS after,
     COLLECT { MATCH (before)-[:HAS_SNAPSHOT]->(snapshot:Snapshot) WHERE snapshot.accuracy IS NOT NULL
               RETURN snapshot.accuracy ORDER BY snapshot.epoch DESC LIMIT 1 }[0] AS accuracy_before
WHERE after IS NOT NULL AND accuracy_before IS NOT NULL
MATCH (circuit:Circuit)-[:YIELDS]->(chosen)
WITH DISTINCT stage, chosen, circuit.query AS query, after - accuracy_before AS gain
RETURN query, chosen.policy AS policy, chosen.budget AS budget, count(*) AS stage_count, avg(gain) AS gain,
       avg(toFloat(stage.trained_weights)) AS trained_weights,
       sum(gain) / sum(stage.trained_weights) * 1000000 AS gain_per_weight
ORDER BY gain_per_weight DESC, query, policy, budget
