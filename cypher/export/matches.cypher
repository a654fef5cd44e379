// Which neurons of a run match those of other runs, in either direction, as they are written to an archive.
//
// @param  run_id        STRING   run
// @return run_id        STRING   run that the match begins in
// @return layer         STRING   layer of both neurons
// @return index         INTEGER  place of the one in the layer
// @return other_run_id  STRING   run that the match ends in
// @return other_index   INTEGER  place of the other in the layer
// @return correlation   FLOAT    of what they compute
MATCH (:Neuron {run_id: $run_id})-[match:MATCHES]-(:Neuron)
WITH DISTINCT match, startNode(match) AS neuron, endNode(match) AS other
RETURN neuron.run_id AS run_id, neuron.layer AS layer, neuron.index AS index, other.run_id AS other_run_id,
       other.index AS other_index, match.correlation AS correlation
ORDER BY run_id, other_run_id, layer, index
