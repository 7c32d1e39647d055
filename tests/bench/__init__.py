"""Benchmarks: figures that the project promises, measured on the machine that runs them."""
