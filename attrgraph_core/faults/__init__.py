"""Faults that are put into data on purpose, of which is known what is wrong."""
