// Deletes a batch of the edges of one graph.
//
// @param  graph_id    STRING   graph
// @param  batch_size  INTEGER  how many at most
// @return deleted     INTEGER  how many
MATCH (:NeuronState {graph_id: $graph_id})-[edge:INFLUENCES]->()
WITH edge LIMIT $batch_size
DELETE edge
RETURN count(*) AS deleted
