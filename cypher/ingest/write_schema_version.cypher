// Records that a schema file was applied.
//
// @param  version  INTEGER  number at the beginning of the file's name
// @param  name     STRING   name of the file
// @param  hash     STRING   of the file's text without comments
// @return version  INTEGER  the same
MERGE (version:SchemaVersion {version: $version})
ON CREATE SET version.name = $name, version.hash = $hash, version.applied_at = datetime()
RETURN version.version AS version
