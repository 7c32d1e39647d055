"""Archives become lists of safe entries; names in any encoding."""
