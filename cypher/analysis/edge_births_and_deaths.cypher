// The edges that one graph stores and the graph of the epoch before does not, and those that it stores no more.
//
// An edge is stored while it is among the strongest into its target. The graph before is the last one of the same run, method
// and target, of a stage before too.
//
// @topic time
// @param  graph_id        STRING   graph that is read
// @param  top_k           INTEGER  how many edges [default 100]
// @return change          STRING   'born' or 'died'
// @return source_layer    STRING   layer that the edge leaves
// @return source_index    INTEGER  neuron that it leaves
// @return target_layer    STRING   layer that it enters
// @return target_index    INTEGER  neuron that it enters
// @return weight          FLOAT    signed share of the target score that flows, or flowed, along it
// @return abs_weight      FLOAT    mean of its absolute value over samples
MATCH (run:Run)-[:HAS_STAGE]->(stage:Stage)-[:HAS_SNAPSHOT]->(snapshot:Snapshot)-[:HAS_GRAPH]->
      (graph:AttributionGraph {graph_id: $graph_id, status: 'complete'})
MATCH (run)-[:HAS_STAGE]->(earlier:Stage)-[:HAS_SNAPSHOT]->(past:Snapshot)-[:HAS_GRAPH]->
      (before:AttributionGraph {status: 'complete', method: graph.method, target: graph.target})
WHERE earlier.position < stage.position OR (earlier.position = stage.position AND past.epoch < snapshot.epoch)
WITH graph, before, earlier, past
ORDER BY earlier.position DESC, past.epoch DESC LIMIT 1
UNWIND [{held: graph, other: before, change: 'born'}, {held: before, other: graph, change: 'died'}] AS side
WITH side.held AS held, side.other.graph_id AS other_id, side.change AS change
MATCH (held)-[:HAS_STATE]->(target:NeuronState)
// Neuron by neuron: sorting the edges of two graphs by their ends takes much longer, and a lot of memory.
CALL (target, other_id) {
  OPTIONAL MATCH (twin:NeuronState {graph_id: other_id, layer: target.layer, index: target.index})
  WITH COLLECT {
    MATCH (twin)<-[:INFLUENCES]-(source:NeuronState) RETURN source.layer + '/' + source.index
  } AS others
  MATCH (target)<-[edge:INFLUENCES]-(source:NeuronState)
  WHERE NOT source.layer + '/' + source.index IN others
  RETURN edge, source
}
WITH change, source.layer AS source_layer, source.index AS source_index, target.layer AS target_layer,
     target.index AS target_index, edge.weight AS weight, edge.abs_weight AS abs_weight
RETURN change, source_layer, source_index, target_layer, target_index, weight, abs_weight
ORDER BY abs_weight DESC, change, source_layer, source_index, target_layer, target_index
LIMIT $top_k
