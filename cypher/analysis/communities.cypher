// Groups of neurons of one graph that influence each other more than the rest, by Louvain, named by their class.
//
// @topic subgraphs
// @param  graph_id    STRING   graph that is read
// @param  resolution  FLOAT    more gives more and smaller groups [default 1.0]
// @param  seed        INTEGER  of the random order in which neurons are tried [default 0]
// @computed  found    communities:communities  layer, index and community of each neuron that has an edge
// @return community   INTEGER  0 for the largest; of equal ones the one whose first neuron comes first
// @return name        STRING   the class that makes most of it, such as 'class:3': that in whose graph of the same epoch and
//                              method its neurons have the largest part of all |weight|; 'none' without graphs of classes
// @return size        INTEGER  how many neurons it has
// @return layer       STRING   layer of the neuron
// @return index       INTEGER  its place in the layer
// @return kind        STRING   input, unit, channel, head, sum, product or output
// @return influence   FLOAT    sum of |weight| over all outgoing edges
MATCH (snapshot:Snapshot)-[:HAS_GRAPH]->(graph:AttributionGraph {graph_id: $graph_id, status: 'complete'})
WITH snapshot, graph, COLLECT {
  MATCH (snapshot)-[:HAS_GRAPH]->(other:AttributionGraph {status: 'complete', method: graph.method})
  WHERE other.target STARTS WITH 'class:'
  MATCH (other)-[:HAS_STATE]->(state:NeuronState)
  WITH other, sum(state.total_out) AS total WHERE total > 0
  RETURN {graph_id: other.graph_id, target: other.target, total: total}
} AS classes
UNWIND $found AS row
MATCH (state:NeuronState {graph_id: graph.graph_id, layer: row.layer, index: row.index})
USING INDEX state:NeuronState(graph_id, layer, index)
WITH graph, classes, row.community AS community, collect(state) AS members
CALL (graph, classes, members) {
  UNWIND classes AS class
  UNWIND members AS member
  MATCH (twin:NeuronState {graph_id: class.graph_id, layer: member.layer, index: member.index})
  USING INDEX twin:NeuronState(graph_id, layer, index)
  WITH class.target AS target, sum(twin.total_out / class.total) AS part
  ORDER BY part DESC, target
  WITH collect(target) AS targets
  RETURN coalesce(targets[0], 'none') AS name
}
UNWIND members AS state
RETURN community, name, size(members) AS size, state.layer AS layer, state.index AS index, state.kind AS kind,
       state.total_out AS influence
ORDER BY community, layer, index
