"""Helpers that the commands of several nouns use; this package has no commands."""
