"""Rows of the registry, one module per family of backbones."""
