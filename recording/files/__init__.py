"""Atomic writes of files, and disks that fail or do not answer. File formats are not here."""
