// Neurons of one graph by what flows into them, out of them, or through them, most first.
//
// @topic neurons
// @param  graph_id   STRING   graph that is read
// @param  by         STRING   what ranks them [one of in, out, through] [default "through"]
// @param  top_k      INTEGER  how many neurons [default 20]
// @param  kind       STRING   only neurons of this kind: input, unit, channel, head, sum, product or output [default null]
// @return layer      STRING   layer of the neuron
// @return index      INTEGER  its place in the layer
// @return kind       STRING   input, unit, channel, head, sum, product or output
// @return influence  FLOAT    what ranks it: `total_in`, `total_out` or `through`
// @return total_in   FLOAT    sum of |weight| over all edges in, those too weak to be stored included
// @return total_out  FLOAT    the same over all edges out
// @return through    FLOAT    the smaller of both: what comes in and goes on
MATCH (:AttributionGraph {graph_id: $graph_id, status: 'complete'})-[:HAS_STATE]->(state:NeuronState)
WHERE $kind IS NULL OR state.kind = $kind
WITH state, CASE WHEN state.total_in < state.total_out THEN state.total_in ELSE state.total_out END AS through
RETURN state.layer AS layer, state.index AS index, state.kind AS kind,
       CASE $by WHEN 'in' THEN state.total_in WHEN 'out' THEN state.total_out ELSE through END AS influence,
       state.total_in AS total_in, state.total_out AS total_out, through
ORDER BY influence DESC, layer, index
LIMIT $top_k
