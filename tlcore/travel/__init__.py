"""A project as one file, from one computer to another."""
