"""An empty database with this package's tables, opened as the service opens it."""

from helpers.database import engine

__all__ = ["engine"]
