"""Faults in a data set: what is found, by which measure, and what mends it."""
