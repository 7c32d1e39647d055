"""Leaving a page for good."""
