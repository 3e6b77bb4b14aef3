"""The database about the archive: recordings, answered calls and coverage checks.

The database also has each recording's custody: whether it is retained or was disposed of.
"""
