"""The desk's work with the archive: it reads files, sends requests and indexes recordings.

The requests go to the finaliser, because only the finaliser writes to the archive.
"""
