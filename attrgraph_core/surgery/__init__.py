"""Finding what is to blame for a fault, and removing or training these weights and no others."""
