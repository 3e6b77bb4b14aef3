"""The commands about recordings, keys, the audit and backups."""
