"""The model: what it will look like, where it is cut in two, and how it is built in Keras."""
