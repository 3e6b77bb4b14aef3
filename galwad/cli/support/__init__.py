"""Functions and options of several groups of commands. This package contains no commands."""
