// Deletes a batch of the states of one graph, whose edges are gone.
//
// @param  graph_id    STRING   graph
// @param  batch_size  INTEGER  how many at most
// @return deleted     INTEGER  how many
MATCH (state:NeuronState {graph_id: $graph_id})
WITH state LIMIT $batch_size
DETACH DELETE state
RETURN count(*) AS deleted
