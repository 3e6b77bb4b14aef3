"""The archive as the desk sees it: it reads files, keeps an index, and asks for changes.

Only the finaliser writes to the archive.
"""
