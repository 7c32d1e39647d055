"""Training: one run from pictures to a tested model, and the loop inside it."""
