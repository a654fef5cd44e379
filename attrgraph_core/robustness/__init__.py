"""How a network holds against inputs that were changed to mislead it, or that came out badly."""
