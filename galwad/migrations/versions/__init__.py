"""The revisions of the database schema. Each module states the number of its revision."""
