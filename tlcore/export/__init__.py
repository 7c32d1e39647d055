"""What leaves: one model in several formats that answer alike, the proof of it, and all that goes with it."""
