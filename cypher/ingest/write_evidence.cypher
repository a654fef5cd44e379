// Puts what was measured of a circuit into its properties.
//
// @param  circuit_id  STRING  circuit
// @param  evidence    MAP     names and values
// @return circuit_id  STRING  circuit; no row where there is none of this id
MATCH (circuit:Circuit {circuit_id: $circuit_id})
SET circuit += $evidence
RETURN circuit.circuit_id AS circuit_id
