// How much the database holds, from the counts that Neo4j keeps.
//
// @return node_count          INTEGER  nodes of all kinds
// @return relationship_count  INTEGER  relationships of all kinds
RETURN COUNT { () } AS node_count, COUNT { ()-->() } AS relationship_count
