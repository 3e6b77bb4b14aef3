"""Directories that a lookup may ask, one module each."""
