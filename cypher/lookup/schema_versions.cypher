// Which schema files were applied, in order.
//
// @return version  INTEGER  number at the beginning of the file's name
// @return name     STRING   name of the file
// @return hash     STRING   of its text without comments
MATCH (version:SchemaVersion)
RETURN version.version AS version, version.name AS name, version.hash AS hash
ORDER BY version
