// Writes a batch of a graph's neuron states, and the neurons that they are states of.
//
// @param  graph_id     STRING        graph
// @param  writer       STRING        token of who writes it
// @param  lane         INTEGER       0 or 1: transactions of two lanes do not wait for each other
// @param  run_id       STRING        run
// @param  layers       LIST<STRING>  a value a state, as in all lists
// @param  indices      LIST<INTEGER> of the neuron in its layer
// @param  kinds        LIST<STRING>  input, unit, channel, head, sum, product or output
// @param  attributions      LIST<FLOAT>  signed
// @param  abs_attributions  LIST<FLOAT>  absolute
// @param  total_ins    LIST<FLOAT>   abs_weight of all edges in
// @param  kept_ins     LIST<FLOAT>   abs_weight of the kept edges in
// @param  total_outs   LIST<FLOAT>   abs_weight of all edges out
// @return written      INTEGER       how many states; 0 where another writer took over
MATCH (:Snapshot)-[held:HAS_GRAPH]->(graph:AttributionGraph {graph_id: $graph_id})
// Locked before the token is read: nobody takes over in between, as that needs the locks of both lanes.
FOREACH (_ IN CASE $lane WHEN 0 THEN [1] ELSE [] END | SET graph.is_locked = true REMOVE graph.is_locked)
FOREACH (_ IN CASE $lane WHEN 1 THEN [1] ELSE [] END | SET held.is_locked = true REMOVE held.is_locked)
WITH graph WHERE graph.status = 'writing' AND graph.writer = $writer
FOREACH (_ IN CASE $lane WHEN 0 THEN [1] ELSE [] END | SET graph.written_at = datetime())
WITH graph
UNWIND range(0, size($layers) - 1) AS row
MERGE (neuron:Neuron {run_id: $run_id, layer: $layers[row], index: $indices[row]})
SET neuron.kind = $kinds[row]
CREATE (graph)-[:HAS_STATE]->(:NeuronState {
  graph_id: $graph_id, layer: $layers[row], index: $indices[row], kind: $kinds[row],
  attribution: $attributions[row], abs_attribution: $abs_attributions[row],
  total_in: $total_ins[row], kept_in: $kept_ins[row], total_out: $total_outs[row]
})-[:STATE_OF]->(neuron)
RETURN count(*) AS written
