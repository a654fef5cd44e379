// The strongest edges of one graph.
//
// @topic subgraphs
// @param  graph_id        STRING   graph that is read
// @param  top_k           INTEGER  how many edges [default 100]
// @param  by              STRING   what ranks them: |weight|, or its share in all |weight| into the target
//                                  [one of weight, share] [default "weight"]
// @return source_layer    STRING   layer that the edge leaves
// @return source_index    INTEGER  neuron that it leaves
// @return target_layer    STRING   layer that it enters
// @return target_index    INTEGER  neuron that it enters
// @return weight          FLOAT    signed share of the target score that flows along it
// @return abs_weight      FLOAT    mean of its absolute value over samples
// @return share           FLOAT    |weight| over all |weight| into the edge's target
MATCH (:AttributionGraph {graph_id: $graph_id, status: 'complete'})-[:HAS_STATE]->(target:NeuronState)
MATCH (target)<-[edge:INFLUENCES]-(source:NeuronState)
WITH source, edge, target, edge.abs_weight / target.total_in AS share
WITH source, edge, target, share, CASE $by WHEN 'share' THEN share ELSE edge.abs_weight END AS strength
ORDER BY strength DESC, source.layer, source.index, target.layer, target.index
LIMIT $top_k
RETURN source.layer AS source_layer, source.index AS source_index, target.layer AS target_layer,
       target.index AS target_index, edge.weight AS weight, edge.abs_weight AS abs_weight, share
ORDER BY strength DESC, source_layer, source_index, target_layer, target_index
