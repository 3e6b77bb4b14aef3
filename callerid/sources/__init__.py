"""The directories that a lookup can search: one module for each directory."""
