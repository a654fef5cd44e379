// Every unit and channel of one graph by its share in the neurons it feeds, most central first.
//
// @topic neurons
// @param  graph_id   STRING   graph that is read
// @return layer      STRING   layer of the neuron
// @return index      INTEGER  its place in the layer
// @return influence  FLOAT    sum over outgoing stored edges of |weight| / total |weight| into the edge's target
MATCH (:AttributionGraph {graph_id: $graph_id, status: 'complete'})-[:HAS_STATE]->(state:NeuronState)
WHERE state.kind IN ['unit', 'channel']
OPTIONAL MATCH (state)-[edge:INFLUENCES]->(target:NeuronState)
RETURN state.layer AS layer, state.index AS index, coalesce(sum(edge.abs_weight / target.total_in), 0.0) AS influence
ORDER BY influence DESC, layer, index
