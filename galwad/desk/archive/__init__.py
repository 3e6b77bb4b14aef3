"""The desk's work with the archive.

The desk reads the archive's files and keeps an index of the recordings. To change the archive, the
desk sends a request to the finaliser, because only the finaliser writes to the archive.
"""
