// The influence of every neuron that a stage could train: all units and channels of one graph.
//
// @topic neurons
// @param  graph_id   STRING   graph that is read
// @return layer      STRING   layer of the neuron
// @return index      INTEGER  its place in the layer
// @return influence  FLOAT    sum of |weight| over all outgoing edges, those too weak to be stored included
MATCH (:AttributionGraph {graph_id: $graph_id, status: 'complete'})-[:HAS_STATE]->(state:NeuronState)
WHERE state.kind IN ['unit', 'channel']
RETURN state.layer AS layer, state.index AS index, state.total_out AS influence
ORDER BY layer, index
