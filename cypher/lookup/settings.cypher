// Settings of the server; a user without the right to see them gets none.
//
// @param  names  LIST<STRING>  settings
// @return name   STRING        setting
// @return value  STRING        as the server has it
SHOW SETTINGS YIELD name, value WHERE name IN $names
RETURN name, value
