// Whether the server has Graph Data Science.
//
// @return is_there  BOOLEAN  whether it can project a graph
SHOW FUNCTIONS YIELD name WHERE name = 'gds.graph.project'
RETURN count(*) > 0 AS is_there
