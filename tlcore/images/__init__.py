"""Pixels: from stored bytes to the square, perhaps augmented picture that a model sees."""
