"""What the two commands need before anything is installed; only the standard library."""
