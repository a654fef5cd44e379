// Pairs of units or channels of one layer that do the same: the same neighbours with the same weights, most alike first.
//
// @topic neurons
// @param  graph_id         STRING   graph that is read
// @param  min_similarity   FLOAT    how alike at least [default 0.9]
// @param  top_k            INTEGER  how many pairs [default 100]
// @computed  pairs         redundancy:redundant_neurons  layer, index, other_index and similarity of each pair
// @return layer            STRING   layer of both
// @return first_index      INTEGER  place of the one
// @return second_index     INTEGER  place of the other, the larger
// @return neurons          LIST<STRING>  '<layer>/<index>' of both
// @return similarity       FLOAT    2 x·y / (x·x + y·y) of their signed weights in and out: 1 where they are equal
// @return influence        FLOAT    sum of |weight| over all outgoing edges, of the one
// @return other_influence  FLOAT    of the other
MATCH (graph:AttributionGraph {graph_id: $graph_id, status: 'complete'})
UNWIND $pairs AS row
MATCH (one:NeuronState {graph_id: graph.graph_id, layer: row.layer, index: row.index})
MATCH (other:NeuronState {graph_id: graph.graph_id, layer: row.layer, index: row.other_index})
RETURN one.layer AS layer, one.index AS first_index, other.index AS second_index,
       [one.layer + '/' + one.index, other.layer + '/' + other.index] AS neurons, row.similarity AS similarity,
       one.total_out AS influence, other.total_out AS other_influence
ORDER BY similarity DESC, layer, first_index, second_index
LIMIT $top_k
