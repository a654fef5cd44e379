// The neurons of a set that a stage trains, and the circuits it was chosen from.
//
// @topic provenance
// @param  neuron_set_id  STRING   set
// @return layer          STRING   layer of the neuron
// @return index          INTEGER  its place in the layer
// @return kind           STRING   unit, channel or output
// @return circuit_ids    LIST<STRING>  circuits the set was chosen from
MATCH (neuron_set:NeuronSet {neuron_set_id: $neuron_set_id})-[:SELECTS]->(neuron:Neuron)
WITH neuron_set, neuron
RETURN neuron.layer AS layer, neuron.index AS index, neuron.kind AS kind,
       COLLECT { MATCH (circuit:Circuit)-[:YIELDS]->(neuron_set) RETURN circuit.circuit_id ORDER BY circuit.circuit_id }
         AS circuit_ids
ORDER BY layer, index
