"""The archive as the desk uses it: read files, ask the finaliser, index new recordings."""
