"""Directories that a lookup can search, one module for each."""
