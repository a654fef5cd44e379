// Deletes a batch of the states of one graph, whose edges are gone.
//
// @param  graph_id    STRING   graph
// @param  writer      STRING   token of who writes or deletes it
// @param  batch_size  INTEGER  how many at most
// @return deleted     INTEGER  how many; 0 where another writer took over, too
MATCH (graph:AttributionGraph {graph_id: $graph_id})
// Locked before the token is read: nobody takes over in between.
SET graph.is_locked = true
REMOVE graph.is_locked
WITH graph WHERE graph.status IN ['writing', 'deleting'] AND graph.writer = $writer
SET graph.written_at = datetime()
WITH graph
MATCH (state:NeuronState {graph_id: graph.graph_id})
WITH state LIMIT $batch_size
DETACH DELETE state
RETURN count(*) AS deleted
