// What ids there are, to say what was meant by an unknown one.
//
// @return graph_ids  LIST<STRING>  of complete graphs
// @return run_ids    LIST<STRING>  of runs
// @return stage_ids  LIST<STRING>  of stages
// @return circuit_ids  LIST<STRING>  of circuits
// @return experiments  LIST<STRING>  their names
RETURN
  COLLECT { MATCH (graph:AttributionGraph {status: 'complete'}) RETURN graph.graph_id AS id ORDER BY id } AS graph_ids,
  COLLECT { MATCH (run:Run) RETURN run.run_id AS id ORDER BY id } AS run_ids,
  COLLECT { MATCH (stage:Stage) RETURN stage.stage_id AS id ORDER BY id } AS stage_ids,
  COLLECT { MATCH (circuit:Circuit) RETURN circuit.circuit_id AS id ORDER BY id } AS circuit_ids,
  COLLECT { MATCH (experiment:Experiment) RETURN experiment.name AS name ORDER BY name } AS experiments
