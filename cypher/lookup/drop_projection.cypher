// Drops a graph projection, if it is there.
//
// @param  projection  STRING   name of the projection
// @return dropped     INTEGER  how many
// @requires gds
CALL gds.graph.drop($projection, false) YIELD graphName
RETURN count(graphName) AS dropped
