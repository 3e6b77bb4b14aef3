"""A desk with users, and the command line with which they are managed on the server."""

from __future__ import annotations

from helpers.cli_fixtures import log_apart, run, settings_file
from helpers.desk_fixtures import clock, engine, open_sessions, running

__all__ = ["clock", "engine", "log_apart", "open_sessions", "run", "running", "settings_file"]
