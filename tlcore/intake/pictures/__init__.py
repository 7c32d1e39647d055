"""How a file becomes a clean picture, and a picture the pixels that a model sees."""
