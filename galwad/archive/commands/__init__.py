"""The commands about recordings, keys, the audit, promises and backups."""
