// Which of some circuits are not stored.
//
// @param  circuit_ids  LIST<STRING>  circuits
// @return circuit_id   STRING        a missing one
UNWIND $circuit_ids AS circuit_id
WITH circuit_id WHERE NOT EXISTS { MATCH (circuit:Circuit {circuit_id: circuit_id}) }
RETURN circuit_id
ORDER BY circuit_id
