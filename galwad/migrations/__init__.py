"""The one Alembic history of the one database."""
