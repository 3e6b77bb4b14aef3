"""The directories of people in which a caller is looked up: one module for each directory."""
