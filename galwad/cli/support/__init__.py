"""Helpers that several groups of commands use; this package has no commands of its own."""
