// Writes a batch of a graph's edges between two layers.
//
// The states that a batch joins are collected once and found by their place in the list: half again as fast as a look-up
// a row.
//
// @param  graph_id          STRING         graph
// @param  writer            STRING         token of who writes it
// @param  lane              INTEGER        0 or 1: transactions of two lanes do not wait for each other
// @param  source_layer      STRING         layer that the edges leave
// @param  first_source      INTEGER        least index of a neuron that an edge of the batch leaves
// @param  last_source       INTEGER        largest
// @param  source_places     LIST<INTEGER>  place of the source among the layer's states of these indices; a value an edge, as in all lists
// @param  target_layer      STRING         layer that they enter
// @param  first_target      INTEGER        least index of a neuron that one enters
// @param  last_target       INTEGER        largest
// @param  target_places     LIST<INTEGER>  place of the target, as of the source
// @param  weights           LIST<FLOAT>    signed
// @param  abs_weights       LIST<FLOAT>    absolute
// @return written           INTEGER        how many edges; 0 where another writer took over
MATCH (:Snapshot)-[held:HAS_GRAPH]->(graph:AttributionGraph {graph_id: $graph_id})
// Locked before the token is read: nobody takes over in between, as that needs the locks of both lanes.
FOREACH (_ IN CASE $lane WHEN 0 THEN [1] ELSE [] END | SET graph.is_locked = true REMOVE graph.is_locked)
FOREACH (_ IN CASE $lane WHEN 1 THEN [1] ELSE [] END | SET held.is_locked = true REMOVE held.is_locked)
WITH graph WHERE graph.status = 'writing' AND graph.writer = $writer
FOREACH (_ IN CASE $lane WHEN 0 THEN [1] ELSE [] END | SET graph.written_at = datetime())
WITH graph
// The index finds a layer's states, given a condition on each of its properties; on an empty database the planner
// would not see that it is the better one.
MATCH (source:NeuronState {graph_id: $graph_id, layer: $source_layer})
USING INDEX source:NeuronState(graph_id, layer, index)
WHERE $first_source <= source.index <= $last_source
WITH graph, source ORDER BY source.index
// Grouped by the graph: without it, no rows would become one row with an empty list.
WITH graph, collect(source) AS sources
MATCH (target:NeuronState {graph_id: $graph_id, layer: $target_layer})
USING INDEX target:NeuronState(graph_id, layer, index)
WHERE $first_target <= target.index <= $last_target
WITH graph, sources, target ORDER BY target.index
WITH graph, sources, collect(target) AS targets
UNWIND range(0, size($weights) - 1) AS row
WITH sources[$source_places[row]] AS source, targets[$target_places[row]] AS target, row
CREATE (source)-[:INFLUENCES {weight: $weights[row], abs_weight: $abs_weights[row]}]->(target)
RETURN count(*) AS written
