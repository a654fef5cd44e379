// The paths from the inputs to the outputs of one graph along which most |weight| adds up.
//
// Paths grow backwards from the outputs, a layer a step; after each step the beam_width strongest go on, so the work is bounded
// and, with a narrow beam, the answer may miss some.
//
// @topic paths
// @param  graph_id    STRING        graph that is read
// @param  top_k       INTEGER       how many paths [default 10]
// @param  beam_width  INTEGER       how many partial paths go on after each step [default 200]
// @param  output      INTEGER       only paths to the output of this index [default null]
// @return rank        INTEGER       1 for the strongest
// @return neurons     LIST<STRING>  '<layer>/<index>' from input to output
// @return strength    FLOAT         sum of |weight| over the edges
// @return sign        INTEGER       1 where the path raises the target score, -1 where it lowers it: product of the signs of
//                                   its edges and of the attributions of the neurons between
MATCH (graph:AttributionGraph {graph_id: $graph_id, status: 'complete'})
WITH graph, COLLECT {
  MATCH (graph)-[:HAS_STATE]->(output:NeuronState {kind: 'output'})
  WHERE ($output IS NULL OR output.index = $output) AND output.abs_attribution > 0
  RETURN output
} AS outputs
WITH graph, [output IN outputs | {
  head: output, neurons: [output.layer + '/' + output.index], strength: 0.0, sign: 1
}] AS ends
WITH reduce(paths = ends, step IN range(2, size(graph.layers)) | COLLECT {
  UNWIND paths AS path
  WITH path, path.head AS head
  CALL (path, head) {
    WITH path, head WHERE head.kind = 'input'
    RETURN path AS longer
    UNION ALL
    MATCH (head)<-[edge:INFLUENCES]-(source:NeuronState)
    RETURN {
      head: source,
      neurons: [source.layer + '/' + source.index] + path.neurons,
      strength: path.strength + edge.abs_weight,
      sign: path.sign * sign(edge.weight) * CASE head.kind WHEN 'output' THEN 1 ELSE sign(head.attribution) END
    } AS longer
  }
  RETURN longer ORDER BY longer.strength DESC, longer.neurons LIMIT $beam_width
}) AS paths
WITH [path IN paths WHERE path.head.kind = 'input'] AS paths
UNWIND range(1, size(paths)) AS rank
WITH rank, paths[rank - 1] AS path
RETURN rank, path.neurons AS neurons, path.strength AS strength, path.sign AS sign
ORDER BY rank
LIMIT $top_k
