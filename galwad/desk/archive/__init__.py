"""The desk's work with the archive.

The desk reads the archive's files and indexes the recordings. Only the finaliser writes to the
archive, so the desk sends requests to the finaliser to change the archive.
"""
