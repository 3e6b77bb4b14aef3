"""The database beside the archive: recordings, answered calls, retention, coverage."""
