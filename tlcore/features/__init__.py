"""Features of the frozen part: compiled, computed once by the fastest engine, and kept."""
