"""Helpers that several groups of commands use. This package contains no commands."""
