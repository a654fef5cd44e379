// The stages in which a run's neurons were in the set that was trained, those of most stages first.
//
// @topic provenance
// @param  run_id       STRING         run
// @param  layer        STRING         only neurons of this layer [default null]
// @param  index        INTEGER        only the neuron of this place [default null]
// @return layer        STRING         layer of the neuron
// @return index        INTEGER        its place in the layer
// @return kind         STRING         unit, channel or output
// @return stages       LIST<INTEGER>  positions of the stages, in order
// @return stage_count  INTEGER        how many
MATCH (:Run {run_id: $run_id})-[:HAS_STAGE]->(stage:Stage)-[:TRAINS]->(:NeuronSet)-[:SELECTS]->(neuron:Neuron)
WHERE ($layer IS NULL OR neuron.layer = $layer) AND ($index IS NULL OR neuron.index = $index)
WITH neuron, stage.position AS position ORDER BY position
WITH neuron, collect(DISTINCT position) AS stages
RETURN neuron.layer AS layer, neuron.index AS index, neuron.kind AS kind, stages, size(stages) AS stage_count
ORDER BY stage_count DESC, layer, index
