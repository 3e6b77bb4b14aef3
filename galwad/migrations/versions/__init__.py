"""The revisions of the database schema; each revision's number is in its module."""
