"""The database for the tests of the log of calls."""

from helpers.database import engine

__all__ = ["engine"]
