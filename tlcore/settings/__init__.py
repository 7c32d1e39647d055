"""Settings beside the configuration itself: their words, their controls, and ready recipes."""
