// Matched neurons of two runs whose shares of influence differ most between a graph of each.
//
// Neurons are matched by `GraphStore.save_matches`; without matches there are no rows.
//
// @topic time
// @param  graph_id         STRING   graph of the one run
// @param  other_graph_id   STRING   graph of the other
// @param  top_k            INTEGER  how many pairs [default 20]
// @return layer            STRING   layer of both
// @return index            INTEGER  place of the neuron in the one run
// @return other_index      INTEGER  place of its match in the other
// @return correlation      FLOAT    of what they compute
// @return influence        FLOAT    part of its layer's outgoing |weight| in the one graph
// @return other_influence  FLOAT    of its match in the other
// @return difference       FLOAT    influence less other_influence
MATCH (graph:AttributionGraph {graph_id: $graph_id, status: 'complete'})
MATCH (other:AttributionGraph {graph_id: $other_graph_id, status: 'complete'})
CALL (other) {
  MATCH (twin:NeuronState {graph_id: other.graph_id})
  WITH twin.layer AS layer, sum(twin.total_out) AS total WHERE total > 0
  RETURN collect({layer: layer, total: total}) AS others
}
MATCH (graph)-[:HAS_STATE]->(state:NeuronState)
WITH other, others, state.layer AS layer, collect(state) AS states, sum(state.total_out) AS total
WITH other, layer, states, total, [known IN others WHERE known.layer = layer | known.total][0] AS other_total
WHERE total > 0 AND other_total > 0
UNWIND states AS state
MATCH (state)-[:STATE_OF]->(:Neuron)-[match:MATCHES]-(partner:Neuron {run_id: other.run_id})
MATCH (twin:NeuronState {graph_id: other.graph_id, layer: partner.layer, index: partner.index})
WITH layer, state.index AS index, twin.index AS other_index, match.correlation AS correlation,
     state.total_out / total AS influence, twin.total_out / other_total AS other_influence
RETURN layer, index, other_index, correlation, influence, other_influence, influence - other_influence AS difference
ORDER BY abs(difference) DESC, layer, index
LIMIT $top_k
