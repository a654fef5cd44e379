// The neurons of a run, as they are written to an archive.
//
// @param  run_id  STRING   run
// @return run_id  STRING   the same
// @return layer   STRING   layer of the neuron
// @return index   INTEGER  its place in the layer
// @return kind    STRING   input, unit, channel, head, sum, product or output
MATCH (neuron:Neuron {run_id: $run_id})
RETURN $run_id AS run_id, neuron.layer AS layer, neuron.index AS index, neuron.kind AS kind
ORDER BY layer, index
