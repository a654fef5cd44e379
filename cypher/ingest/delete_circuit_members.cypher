// Takes a batch of one graph's states out of the circuits they are in.
//
// @param  graph_id    STRING   graph
// @param  batch_size  INTEGER  how many at most
// @return deleted     INTEGER  how many
MATCH (:NeuronState {graph_id: $graph_id})<-[member:CONTAINS]-(:Circuit)
WITH member LIMIT $batch_size
DELETE member
RETURN count(*) AS deleted
