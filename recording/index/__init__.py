"""The database about the archive: recordings, answered calls, custody and coverage checks."""
