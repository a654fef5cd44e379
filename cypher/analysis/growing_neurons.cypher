// Neurons whose influence grew most since the last graph of the stage before, with the same method and target.
//
// @topic neurons
// @param  graph_id          STRING   graph that is read
// @param  top_k             INTEGER  how many neurons [default 20]
// @return layer             STRING   layer of the neuron
// @return index             INTEGER  its place in the layer
// @return kind              STRING   input, unit, channel, head, sum, product or output
// @return influence         FLOAT    sum of |weight| over all outgoing edges; of an output its mean absolute attribution
// @return influence_before  FLOAT    the same in the graph of the stage before
// @return growth            FLOAT    influence less influence_before
MATCH (run:Run)-[:HAS_STAGE]->(stage:Stage)-[:HAS_SNAPSHOT]->(:Snapshot)-[:HAS_GRAPH]->
      (graph:AttributionGraph {graph_id: $graph_id, status: 'complete'})
MATCH (run)-[:HAS_STAGE]->(:Stage {position: stage.position - 1})-[:HAS_SNAPSHOT]->(snapshot:Snapshot)-[:HAS_GRAPH]->
      (before:AttributionGraph {status: 'complete', method: graph.method, target: graph.target})
WITH graph, before ORDER BY snapshot.epoch DESC LIMIT 1
MATCH (graph)-[:HAS_STATE]->(state:NeuronState)
// By its place and not by way of its neuron, which has a state in every graph of the run.
MATCH (earlier:NeuronState {graph_id: before.graph_id, layer: state.layer, index: state.index})
USING INDEX earlier:NeuronState(graph_id, layer, index)
WITH state,
     CASE state.kind WHEN 'output' THEN state.abs_attribution ELSE state.total_out END AS influence,
     CASE state.kind WHEN 'output' THEN earlier.abs_attribution ELSE earlier.total_out END AS influence_before
RETURN state.layer AS layer, state.index AS index, state.kind AS kind, influence, influence_before,
       influence - influence_before AS growth
ORDER BY growth DESC, layer, index
LIMIT $top_k
