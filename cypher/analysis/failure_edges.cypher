// The edges to blame for a failure: those that carry it in one graph and that another graph does without, most first.
//
// The one graph is of the samples that fail, for the margin of the wrong logit over the right one, the other of good
// samples, for their own margin; `attrgraph diagnose` makes both. Shares are of all edges into a layer.
//
// @topic failures
// @param  graph_id         STRING   graph of the failure
// @param  other_graph_id   STRING   graph of the good samples
// @param  target_layer     STRING   only edges into this layer [default null]
// @param  top_k            INTEGER  how many edges [default 100]
// @return source_layer     STRING   layer that the edge leaves
// @return source_index     INTEGER  neuron that it leaves
// @return target_layer     STRING   layer that it enters
// @return target_index     INTEGER  neuron that it enters
// @return blame            FLOAT    failure_share less success_share
// @return failure_share    FLOAT    its weight over the layer's sum of |weight|, in the graph of the failure
// @return success_share    FLOAT    its abs_weight over the layer's sum of abs_weight, in the other graph
MATCH (graph:AttributionGraph {graph_id: $graph_id, status: 'complete'})
MATCH (other:AttributionGraph {graph_id: $other_graph_id, status: 'complete'})
UNWIND [[graph, 1.0], [other, 0.0]] AS pair
WITH pair[0] AS owner, pair[1] AS fails
MATCH (target:NeuronState {graph_id: owner.graph_id})
WHERE $target_layer IS NULL OR target.layer = $target_layer
MATCH (source:NeuronState)-[edge:INFLUENCES]->(target)
WITH fails, target.layer AS target_layer,
     collect({source_layer: source.layer, source_index: source.index, target_index: target.index,
              weight: CASE fails WHEN 1.0 THEN edge.weight ELSE edge.abs_weight END}) AS edges
WITH fails, target_layer, edges, reduce(total = 0.0, edge IN edges | total + abs(edge.weight)) AS total
WHERE total > 0
UNWIND edges AS edge
WITH edge.source_layer AS source_layer, edge.source_index AS source_index, target_layer,
     edge.target_index AS target_index, sum(fails * edge.weight / total) AS failure_share,
     sum((1.0 - fails) * edge.weight / total) AS success_share
RETURN source_layer, source_index, target_layer, target_index, failure_share - success_share AS blame,
       failure_share, success_share
ORDER BY blame DESC, source_layer, source_index, target_layer, target_index
LIMIT $top_k
