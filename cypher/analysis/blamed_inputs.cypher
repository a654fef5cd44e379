// The input neurons to blame for a failure: those that make it in one graph and that another graph does without.
//
// The graphs are those that `failure_edges` is asked of.
//
// @topic failures
// @param  graph_id         STRING   graph of the failure
// @param  other_graph_id   STRING   graph of the good samples
// @param  top_k            INTEGER  how many neurons [default 100]
// @return layer            STRING   'input'
// @return index            INTEGER  place in the flattened input
// @return blame            FLOAT    failure_share less success_share
// @return failure_share    FLOAT    its attribution over the sum of |attribution|, in the graph of the failure
// @return success_share    FLOAT    its abs_attribution over the sum of them, in the other graph
MATCH (graph:AttributionGraph {graph_id: $graph_id, status: 'complete'})
MATCH (other:AttributionGraph {graph_id: $other_graph_id, status: 'complete'})
UNWIND [[graph, 1.0], [other, 0.0]] AS pair
WITH pair[0] AS owner, pair[1] AS fails
MATCH (state:NeuronState {graph_id: owner.graph_id, layer: 'input'})
WITH fails, collect({index: state.index,
                     weight: CASE fails WHEN 1.0 THEN state.attribution ELSE state.abs_attribution END}) AS states
WITH fails, states, reduce(total = 0.0, state IN states | total + abs(state.weight)) AS total
UNWIND states AS state
WITH state.index AS index, sum(CASE total WHEN 0.0 THEN 0.0 ELSE fails * state.weight / total END) AS failure_share,
     sum(CASE total WHEN 0.0 THEN 0.0 ELSE (1.0 - fails) * state.weight / total END) AS success_share
RETURN 'input' AS layer, index, failure_share - success_share AS blame, failure_share, success_share
ORDER BY blame DESC, index
LIMIT $top_k
