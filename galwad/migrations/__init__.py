"""The Alembic migrations of Galwad's database. There is one sequence of revisions."""
