// Gives graphs whose neurons and edges are there everything else of an archive: their properties and their snapshots.
//
// @param  rows     LIST<MAP>  graph_id, snapshot_id and properties, a map a graph
// @return written  INTEGER    how many
UNWIND $rows AS row
MATCH (snapshot:Snapshot {snapshot_id: row.snapshot_id})
MATCH (graph:AttributionGraph {graph_id: row.graph_id})
MERGE (snapshot)-[:HAS_GRAPH]->(graph)
SET graph = row.properties
RETURN count(*) AS written
