// Units and channels that matter to one graph's class and not to the other classes of its epoch, most specific first.
//
// Shares of a layer are compared, so that a class with larger scores counts no more than others.
//
// @topic neurons
// @param  graph_id     STRING   graph of a class
// @param  top_k        INTEGER  how many neurons [default 20]
// @return layer        STRING   layer of the neuron
// @return index        INTEGER  its place in the layer
// @return kind         STRING   unit or channel
// @return influence    FLOAT    its share in the influence of its layer, here
// @return elsewhere    FLOAT    mean of that share over the graphs of the other classes, of the same epoch and method
// @return specificity  FLOAT    (influence - elsewhere) / (influence + elsewhere): 1 only here, -1 only elsewhere
MATCH (snapshot:Snapshot)-[:HAS_GRAPH]->(own:AttributionGraph {graph_id: $graph_id, status: 'complete'})
MATCH (snapshot)-[:HAS_GRAPH]->(graph:AttributionGraph {status: 'complete', method: own.method})
WHERE graph.graph_id = $graph_id OR graph.target STARTS WITH 'class:'
MATCH (graph)-[:HAS_STATE]->(state:NeuronState)
WHERE state.kind IN ['unit', 'channel']
WITH graph.graph_id = $graph_id AS is_own, graph, state.layer AS layer, collect(state) AS states,
     sum(state.total_out) AS total
UNWIND states AS state
WITH is_own, layer, state.index AS index, state.kind AS kind,
     CASE total WHEN 0 THEN 0.0 ELSE state.total_out / total END AS share
WITH layer, index, kind, sum(CASE WHEN is_own THEN share ELSE 0.0 END) AS influence,
     avg(CASE WHEN is_own THEN null ELSE share END) AS elsewhere
WHERE influence + elsewhere > 0
RETURN layer, index, kind, influence, elsewhere, (influence - elsewhere) / (influence + elsewhere) AS specificity
ORDER BY specificity DESC, influence DESC, layer, index
LIMIT $top_k
