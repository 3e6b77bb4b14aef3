"""Helpers that commands of several nouns use; no commands."""
