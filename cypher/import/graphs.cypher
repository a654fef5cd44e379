// Gives graphs whose neurons and edges are there everything else of an archive: their properties and their snapshots.
//
// @param  rows     LIST<MAP>  graph_id, snapshot_id and properties, a map a graph
// @return written  INTEGER    how many; fewer where a run is being deleted
UNWIND $rows AS row
MATCH (snapshot:Snapshot {snapshot_id: row.snapshot_id})<-[:HAS_SNAPSHOT]-(:Stage)<-[:HAS_STAGE]-(run:Run)
// Locked before its status is read: nobody begins to delete it in between.
SET run.is_locked = true
REMOVE run.is_locked
WITH row, snapshot, run WHERE run.status <> 'deleting'
MATCH (graph:AttributionGraph {graph_id: row.graph_id})
MERGE (snapshot)-[:HAS_GRAPH]->(graph)
SET graph = row.properties
RETURN count(*) AS written
