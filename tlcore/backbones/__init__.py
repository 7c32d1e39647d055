"""Backbones: pre-trained networks without their classifier, their weights and their blocks."""
