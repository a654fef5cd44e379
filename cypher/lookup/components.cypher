// The server's parts and their versions.
//
// @return name      STRING        part
// @return versions  LIST<STRING>  versions
// @return edition   STRING        community or enterprise
CALL dbms.components() YIELD name, versions, edition
RETURN name, versions, edition
