// Hides a graph from readers, as the first step of its deletion, and notes it on its snapshot.
//
// @param  graph_id  STRING  graph
// @param  writer    STRING  token of who deletes it
// @return graph_id  STRING  graph; no row where it is being written, or a neuron set was chosen from it
MATCH (snapshot:Snapshot)-[:HAS_GRAPH]->(graph:AttributionGraph {graph_id: $graph_id})
// Locked before its state is read: nobody takes over in between.
SET graph.is_locked = true
REMOVE graph.is_locked
WITH snapshot, graph
WHERE graph.status IN ['complete', 'deleting']
  AND NOT EXISTS { (graph)<-[:FOUND_IN]-(:Circuit)-[:YIELDS]->(:NeuronSet) }
SET graph.status = 'deleting', graph.writer = $writer, graph.written_at = datetime(), snapshot.pruned_at = datetime()
RETURN graph.graph_id AS graph_id
