// Neurons of one graph with what they add to the target score and what they take from it kept apart, by stored edges.
//
// @topic neurons
// @param  graph_id        STRING   graph that is read
// @param  top_k           INTEGER  how many neurons [default 20]
// @param  kind            STRING   only neurons of this kind: input, unit, channel, head, sum or product [default null]
// @return layer           STRING   layer of the neuron
// @return index           INTEGER  its place in the layer
// @return kind            STRING   input, unit, channel, head, sum, product or output
// @return influence       FLOAT    supporting_out + inhibiting_out
// @return supporting_out  FLOAT    sum of weight over the outgoing edges that raise the score
// @return inhibiting_out  FLOAT    sum of |weight| over those that lower it
// @return supporting_in   FLOAT    sum of weight over the incoming edges that raise the score
// @return inhibiting_in   FLOAT    sum of |weight| over those that lower it
MATCH (:AttributionGraph {graph_id: $graph_id, status: 'complete'})-[:HAS_STATE]->(state:NeuronState)
WHERE $kind IS NULL OR state.kind = $kind
CALL (state) {
  OPTIONAL MATCH (state)-[edge:INFLUENCES]->()
  RETURN sum(CASE WHEN edge.weight > 0 THEN edge.weight ELSE 0.0 END) AS supporting_out,
         sum(CASE WHEN edge.weight < 0 THEN -edge.weight ELSE 0.0 END) AS inhibiting_out
}
WITH state, supporting_out, inhibiting_out, supporting_out + inhibiting_out AS influence
ORDER BY influence DESC, state.layer, state.index
LIMIT $top_k
CALL (state) {
  OPTIONAL MATCH (state)<-[edge:INFLUENCES]-()
  RETURN sum(CASE WHEN edge.weight > 0 THEN edge.weight ELSE 0.0 END) AS supporting_in,
         sum(CASE WHEN edge.weight < 0 THEN -edge.weight ELSE 0.0 END) AS inhibiting_in
}
RETURN state.layer AS layer, state.index AS index, state.kind AS kind, influence, supporting_out, inhibiting_out,
       supporting_in, inhibiting_in
ORDER BY influence DESC, layer, index
