// Units and channels that matter to every class of one graph's epoch, most shared first.
//
// @topic neurons
// @param  graph_id     STRING   a graph of the epoch; its method is that of the graphs compared
// @param  top_k        INTEGER  how many neurons [default 20]
// @return layer        STRING   layer of the neuron
// @return index        INTEGER  its place in the layer
// @return kind         STRING   unit or channel
// @return influence    FLOAT    the smallest share that it has in the influence of its layer, over the classes' graphs
// @return mean_share   FLOAT    mean of that share
// @return class_count  INTEGER  classes that have a graph
MATCH (snapshot:Snapshot)-[:HAS_GRAPH]->(own:AttributionGraph {graph_id: $graph_id, status: 'complete'})
MATCH (snapshot)-[:HAS_GRAPH]->(graph:AttributionGraph {status: 'complete', method: own.method})
WHERE graph.target STARTS WITH 'class:'
MATCH (graph)-[:HAS_STATE]->(state:NeuronState)
WHERE state.kind IN ['unit', 'channel']
WITH graph, state.layer AS layer, collect(state) AS states, sum(state.total_out) AS total
UNWIND states AS state
WITH layer, state.index AS index, state.kind AS kind,
     CASE total WHEN 0 THEN 0.0 ELSE state.total_out / total END AS share
RETURN layer, index, kind, min(share) AS influence, avg(share) AS mean_share, count(*) AS class_count
ORDER BY influence DESC, mean_share DESC, layer, index
LIMIT $top_k
