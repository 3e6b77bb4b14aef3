"""Functions for atomic writes of files, and classes for disks that may fail or hang."""
