"""The database about the archive: recordings, custody, answered calls and coverage checks."""
