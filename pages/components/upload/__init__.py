"""Folders and files of any number, which a browser sends in pieces."""
