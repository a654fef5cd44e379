// The version of Graph Data Science.
//
// @return version  STRING  version
// @requires gds
RETURN gds.version() AS version
