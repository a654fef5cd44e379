// The edges of one graph that circuit-tracer's pruning keeps, most influential first.
//
// The rule is that of pruned_neurons.
//
// @topic subgraphs
// @param  graph_id        STRING   graph that is read
// @param  node_threshold  FLOAT    share of the neurons' influence to keep [default 0.8]
// @param  edge_threshold  FLOAT    share of the edges' influence to keep [default 0.98]
// @computed  kept         pruning:pruned_edges  the ends of each edge kept, and influence
// @return source_layer    STRING   layer that the edge leaves
// @return source_index    INTEGER  neuron that it leaves
// @return target_layer    STRING   layer that it enters
// @return target_index    INTEGER  neuron that it enters
// @return weight          FLOAT    signed share of the target score that flows along it
// @return abs_weight      FLOAT    mean of its absolute value over samples
// @return influence       FLOAT    its share in its target times the target's influence, in the graph of the kept neurons
// @bulk
MATCH (graph:AttributionGraph {graph_id: $graph_id, status: 'complete'})
UNWIND $kept AS row
MATCH (target:NeuronState {graph_id: graph.graph_id, layer: row.target_layer, index: row.target_index})
USING INDEX target:NeuronState(graph_id, layer, index)
MATCH (target)<-[edge:INFLUENCES]-(source:NeuronState)
WITH source, edge, target, row.edges[source.layer + '/' + source.index] AS kept
WHERE kept IS NOT NULL
RETURN source.layer AS source_layer, source.index AS source_index, target.layer AS target_layer,
       target.index AS target_index, edge.weight AS weight, edge.abs_weight AS abs_weight, kept.influence AS influence
ORDER BY influence DESC, source_layer, source_index, target_layer, target_index
