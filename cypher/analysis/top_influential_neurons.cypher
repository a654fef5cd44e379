// Neurons of one graph with the most influence, strongest first.
//
// @topic neurons
// @param  graph_id     STRING   graph that is read
// @param  top_k        INTEGER  how many neurons [default 20]
// @param  layer        STRING   only neurons of this layer [default null]
// @param  kind         STRING   only neurons of this kind: input, unit, channel, head, sum, product or output [default null]
// @return layer        STRING   layer of the neuron
// @return index        INTEGER  its place in the layer
// @return kind         STRING   input, unit, channel, head, sum, product or output
// @return influence    FLOAT    sum of |weight| over all outgoing edges, those too weak to be stored included; of an
//                               output its mean absolute attribution
// @return attribution  FLOAT    its signed share of the target score
MATCH (:AttributionGraph {graph_id: $graph_id, status: 'complete'})-[:HAS_STATE]->(state:NeuronState)
WHERE ($layer IS NULL OR state.layer = $layer) AND ($kind IS NULL OR state.kind = $kind)
WITH state, CASE state.kind WHEN 'output' THEN state.abs_attribution ELSE state.total_out END AS influence
RETURN state.layer AS layer, state.index AS index, state.kind AS kind, influence, state.attribution AS attribution
ORDER BY influence DESC, layer, index
LIMIT $top_k
