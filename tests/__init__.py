"""Tests; `python3 -m tests` runs them all, and lint, types and import rules before."""
