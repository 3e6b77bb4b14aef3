"""The Alembic migrations of Galwad's database, which has one history of revisions."""
