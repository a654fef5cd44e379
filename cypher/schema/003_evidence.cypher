// Circuits are looked for by how faithful they are.
CREATE INDEX circuit_faithfulness IF NOT EXISTS
FOR (circuit:Circuit) ON (circuit.faithfulness);
