"""A whole project in one file, and back again on another computer."""
