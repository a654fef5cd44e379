// Whether the database holds anything but the record of its schema.
//
// @return is_there  BOOLEAN  whether it does
RETURN EXISTS { MATCH (node) WHERE NOT node:SchemaVersion } AS is_there
