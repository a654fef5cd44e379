// All indexes, those of constraints included, and how far each is.
//
// @return name      STRING  index
// @return state     STRING  ONLINE, POPULATING or FAILED
// @return complete  FLOAT   percent of what it indexes that is in it
SHOW INDEXES YIELD name, state, populationPercent
RETURN name, state, populationPercent AS complete
