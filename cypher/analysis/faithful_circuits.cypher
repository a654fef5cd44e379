// Circuits that exact ablation on held-out samples found faithful, smallest first.
//
// Of class 3 and smaller than 5 %: `target` 'class:3', `max_size` 0.05. One that makes much more of the score than the
// network is not faithful either: it lacks what holds the score down. Evidence is measured by the checks of a run, or by
// `attrgraph_core.evidence` and kept by `GraphStore.save_evidence`.
//
// @topic subgraphs
// @param  target               STRING   only graphs of this target, such as 'class:3' [default null]
// @param  run_id               STRING   only graphs of this run [default null]
// @param  min_faithfulness     FLOAT    least part of the score that the circuit makes alone [default 0.8]
// @param  max_faithfulness     FLOAT    most of it [default 1.2]
// @param  max_size             FLOAT    largest part of the network's edges, or of its layers' neurons [default 0.05]
// @return circuit_id           STRING   circuit
// @return query                STRING   that found it
// @return target               STRING   of its graph
// @return size                 FLOAT    part of the network's edges, or of its layers' neurons
// @return part_count           INTEGER  how many edges, or neurons
// @return faithfulness         FLOAT    part of the score that it makes alone
// @return faithfulness_low     FLOAT    lower end of its 95 % interval over samples
// @return random_faithfulness  FLOAT    mean over random circuits of equal size
// @return completeness         FLOAT    part of the score that is lost without it
// @return ablation             STRING   what stands in the place of all else: zero, mean or resample
// @return graph_id             STRING   graph that it was found in
MATCH (circuit:Circuit)
WHERE $min_faithfulness <= circuit.faithfulness <= $max_faithfulness AND circuit.size <= $max_size
  AND NOT circuit.is_stale
MATCH (circuit)-[:FOUND_IN]->(graph:AttributionGraph {status: 'complete'})
WHERE ($target IS NULL OR graph.target = $target) AND ($run_id IS NULL OR graph.run_id = $run_id)
RETURN circuit.circuit_id AS circuit_id, circuit.query AS query, graph.target AS target, circuit.size AS size,
       circuit.part_count AS part_count, circuit.faithfulness AS faithfulness,
       circuit.faithfulness_low AS faithfulness_low, circuit.random_faithfulness AS random_faithfulness,
       circuit.completeness AS completeness, circuit.ablation AS ablation, graph.graph_id AS graph_id
ORDER BY size, faithfulness DESC, circuit_id
