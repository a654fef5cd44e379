// How many nodes and relationships of each kind there are, from the counts that Neo4j keeps.
//
// @return kind   STRING   label, or type of relationship in brackets
// @return count  INTEGER  how many
UNWIND [
  {kind: 'Experiment', count: COUNT { (:Experiment) }}, {kind: 'Run', count: COUNT { (:Run) }},
  {kind: 'Stage', count: COUNT { (:Stage) }}, {kind: 'Snapshot', count: COUNT { (:Snapshot) }},
  {kind: 'AttributionGraph', count: COUNT { (:AttributionGraph) }}, {kind: 'Neuron', count: COUNT { (:Neuron) }},
  {kind: 'NeuronState', count: COUNT { (:NeuronState) }}, {kind: 'Circuit', count: COUNT { (:Circuit) }},
  {kind: 'NeuronSet', count: COUNT { (:NeuronSet) }}, {kind: '[INFLUENCES]', count: COUNT { ()-[:INFLUENCES]->() }},
  {kind: '[all others]', count: COUNT { ()-->() } - COUNT { ()-[:INFLUENCES]->() }}
] AS row
RETURN row.kind AS kind, row.count AS count
