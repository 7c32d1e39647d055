"""Weights of a backbone: where they are, how they come here, and what a person's own file must be."""
