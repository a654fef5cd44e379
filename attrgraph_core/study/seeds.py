"""How many seeds a claim rests on."""

FEWEST_SEEDS = 10
