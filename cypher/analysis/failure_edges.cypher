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
CALL (graph) {
  MATCH (target:NeuronState {graph_id: graph.graph_id})<-[edge:INFLUENCES]-()
  WITH target.layer AS layer, sum(abs(edge.weight)) AS total WHERE total > 0
  RETURN collect({layer: layer, total: total}) AS totals
}
CALL (other) {
  MATCH (target:NeuronState {graph_id: other.graph_id})<-[edge:INFLUENCES]-()
  WITH target.layer AS layer, sum(edge.abs_weight) AS total WHERE total > 0
  RETURN collect({layer: layer, total: total}) AS other_totals
}
MATCH (neuron:NeuronState)
WHERE neuron.graph_id IN [graph.graph_id, other.graph_id] AND ($target_layer IS NULL OR neuron.layer = $target_layer)
WITH graph, other, totals, other_totals, neuron.layer AS target_layer, neuron.index AS target_index
WITH DISTINCT graph, other, target_layer, target_index,
     [known IN totals WHERE known.layer = target_layer | known.total][0] AS total,
     [known IN other_totals WHERE known.layer = target_layer | known.total][0] AS other_total
// Neuron by neuron: grouping the edges of two graphs by their ends takes a lot of memory.
CALL (graph, other, target_layer, target_index, total, other_total) {
  UNWIND [{id: graph.graph_id, total: total, fails: 1.0}, {id: other.graph_id, total: other_total, fails: 0.0}] AS side
  WITH side WHERE side.total > 0
  MATCH (target:NeuronState {graph_id: side.id, layer: target_layer, index: target_index})
  USING INDEX target:NeuronState(graph_id, layer, index)
  MATCH (source:NeuronState)-[edge:INFLUENCES]->(target)
  RETURN source.layer AS source_layer, source.index AS source_index,
         sum(side.fails * edge.weight / side.total) AS failure_share,
         sum((1.0 - side.fails) * edge.abs_weight / side.total) AS success_share
}
RETURN source_layer, source_index, target_layer, target_index, failure_share - success_share AS blame,
       failure_share, success_share
ORDER BY blame DESC, source_layer, source_index, target_layer, target_index
LIMIT $top_k
