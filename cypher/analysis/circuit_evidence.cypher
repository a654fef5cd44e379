// What was measured of the circuits of one run by exact ablation on held-out samples, most faithful first.
//
// @topic subgraphs
// @param  run_id                 STRING   run
// @return circuit_id             STRING   circuit
// @return query                  STRING   that found it
// @return target                 STRING   of its graph
// @return ablation               STRING   what stands in the place of what is ablated: zero, mean or resample
// @return size                   FLOAT    part of the network's edges, or of its layers' neurons
// @return faithfulness           FLOAT    part of the score that it makes alone
// @return faithfulness_low       FLOAT    lower end of its 95 % interval over samples
// @return faithfulness_high      FLOAT    upper end of it
// @return completeness           FLOAT    part of the score that is lost without it
// @return minimality             FLOAT    share of its parts that its faithfulness needs
// @return random_faithfulness    FLOAT    mean over random circuits of equal size
// @return random_deviation       FLOAT    their standard deviation
// @return curve                  LIST<FLOAT>  faithfulness of the graph's strongest edges, as many as .001, .002, .005, .01,
//                                .02, .05, .1, .2, .5 and all of the network's
// @return cpr                    FLOAT    area under the faithfulness of the graph's strongest edges over their number, that of `curve`
// @return cmd                    FLOAT    area between that and 1
// @return edge_correlation       FLOAT    of the graph's weights with exact deletion of edges
// @return edge_rank_correlation  FLOAT    the same of ranks
// @return sample_stability       FLOAT    how alike the strongest parts are over resampled samples, by Jaccard
// @return seed_stability         FLOAT    how alike the circuits of other seeds are, by Jaccard; null where there are none
MATCH (graph:AttributionGraph {run_id: $run_id, status: 'complete'})<-[:FOUND_IN]-(circuit:Circuit)
WHERE circuit.faithfulness IS NOT NULL AND NOT circuit.is_stale
RETURN circuit.circuit_id AS circuit_id, circuit.query AS query, graph.target AS target, circuit.ablation AS ablation,
       circuit.size AS size, circuit.faithfulness AS faithfulness, circuit.faithfulness_low AS faithfulness_low,
       circuit.faithfulness_high AS faithfulness_high, circuit.completeness AS completeness,
       circuit.minimality AS minimality, circuit.random_faithfulness AS random_faithfulness,
       circuit.random_deviation AS random_deviation, coalesce(circuit.curve, []) AS curve, circuit.cpr AS cpr, circuit.cmd AS cmd,
       circuit.edge_correlation AS edge_correlation, circuit.edge_rank_correlation AS edge_rank_correlation,
       circuit.sample_stability AS sample_stability, circuit.seed_stability AS seed_stability
ORDER BY faithfulness DESC, circuit_id
