// All stored edges of one graph.
//
// @topic graphs
// @param  graph_id      STRING   graph that is read
// @param  target_layer  STRING   only edges into this layer [default null]
// @return source_layer  STRING   layer that the edge leaves
// @return source_index  INTEGER  neuron that it leaves
// @return target_layer  STRING   layer that it enters
// @return target_index  INTEGER  neuron that it enters
// @return weight        FLOAT    signed share of the target score that flows along it
// @return abs_weight    FLOAT    mean of its absolute value over samples
// @bulk
MATCH (:AttributionGraph {graph_id: $graph_id, status: 'complete'})-[:HAS_STATE]->(target:NeuronState)
WHERE $target_layer IS NULL OR target.layer = $target_layer
MATCH (source:NeuronState)-[edge:INFLUENCES]->(target)
RETURN source.layer AS source_layer, source.index AS source_index, target.layer AS target_layer,
       target.index AS target_index, edge.weight AS weight, edge.abs_weight AS abs_weight
ORDER BY target_layer, target_index, source_layer, source_index
