"""The database about the archive: recordings, answered calls, retention and coverage."""
