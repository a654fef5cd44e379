// The influence of one neuron in every graph of its run, in the order of stages and epochs.
//
// @topic time
// @param  run_id       STRING   run
// @param  layer        STRING   layer of the neuron
// @param  index        INTEGER  its place in the layer
// @param  method       STRING   only graphs of this method [default "deeplift"]
// @param  target       STRING   only graphs of this target [default "label"]
// @return stage        INTEGER  position of the stage in its run
// @return epoch        INTEGER  of the stage
// @return influence    FLOAT    sum of |weight| over all outgoing edges; of an output its mean absolute attribution
// @return attribution  FLOAT    its signed share of the target score
// @return graph_id     STRING   graph
MATCH (:Neuron {run_id: $run_id, layer: $layer, index: $index})<-[:STATE_OF]-(state:NeuronState)<-[:HAS_STATE]-
      (graph:AttributionGraph {status: 'complete', method: $method, target: $target})
MATCH (stage:Stage)-[:HAS_SNAPSHOT]->(snapshot:Snapshot)-[:HAS_GRAPH]->(graph)
WITH state, stage, snapshot, graph,
     CASE state.kind WHEN 'output' THEN state.abs_attribution ELSE state.total_out END AS influence
RETURN stage.position AS stage, snapshot.epoch AS epoch, influence, state.attribution AS attribution,
       graph.graph_id AS graph_id
ORDER BY stage, epoch, graph_id
