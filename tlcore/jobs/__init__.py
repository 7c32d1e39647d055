"""Jobs as processes: starting them, watching them, and what runs inside."""
