// Which schema files were applied, in order.
//
// @return version  INTEGER  number at the beginning of the file's name
// @return name     STRING   name of the file
// @return hash     STRING   of its text without comments
// @return applied_at  STRING  when, ISO 8601
MATCH (version:SchemaVersion)
RETURN version.version AS version, version.name AS name, version.hash AS hash,
       toString(version.applied_at) AS applied_at
ORDER BY version
