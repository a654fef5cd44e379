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
UNWIND [{graph: graph, change: 'born'}, {graph: before, change: 'died'}] AS side
WITH side.graph AS held, side.change AS change
MATCH (held)-[:HAS_STATE]->(target:NeuronState)<-[edge:INFLUENCES]-(source:NeuronState)
WITH source.layer AS source_layer, source.index AS source_index, target.layer AS target_layer,
     target.index AS target_index, collect(change) AS changes, max(edge.weight) AS weight,
     max(edge.abs_weight) AS abs_weight
WHERE size(changes) = 1
RETURN changes[0] AS change, source_layer, source_index, target_layer, target_index, weight, abs_weight
ORDER BY abs_weight DESC, change, source_layer, source_index, target_layer, target_index
LIMIT $top_k
