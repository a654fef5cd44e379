// A circuit of one graph grown from the outputs back, the strongest edge into it first, as EAP-IG does.
//
// @topic subgraphs
// @param  graph_id        STRING   graph that is read
// @param  edge_count      INTEGER  how many edges are taken [default 100]
// @param  output          INTEGER  grown from the output of this index; null for all outputs [default null]
// @param  connected       BOOLEAN  take out what no path from an input reaches, so that there may be fewer [default true]
// @computed  kept         greedy:greedy_edges  the ends of each edge kept, and step
// @return source_layer    STRING   layer that the edge leaves
// @return source_index    INTEGER  neuron that it leaves
// @return target_layer    STRING   layer that it enters
// @return target_index    INTEGER  neuron that it enters
// @return weight          FLOAT    signed share of the target score that flows along it
// @return abs_weight      FLOAT    mean of its absolute value over samples
// @return step            INTEGER  when it was taken, from 1
MATCH (graph:AttributionGraph {graph_id: $graph_id, status: 'complete'})
UNWIND $kept AS row
MATCH (target:NeuronState {graph_id: graph.graph_id, layer: row.target_layer, index: row.target_index})
USING INDEX target:NeuronState(graph_id, layer, index)
MATCH (target)<-[edge:INFLUENCES]-(source:NeuronState)
WITH source, edge, target, row.edges[source.layer + '/' + source.index] AS kept
WHERE kept IS NOT NULL
RETURN source.layer AS source_layer, source.index AS source_index, target.layer AS target_layer,
       target.index AS target_index, edge.weight AS weight, edge.abs_weight AS abs_weight, kept.step AS step
ORDER BY step, source_layer, source_index, target_layer, target_index
