"""A desk with a fake switch, the command line in this process, and recordings for both."""

from __future__ import annotations

from helpers.cli_fixtures import (
    archive,
    flac,
    handler,
    log_apart,
    officer,
    run,
    server,
    settings_file,
    speech,
)
from helpers.desk_fixtures import clock, engine, open_sessions, running, sealed

__all__ = [
    "archive",
    "clock",
    "engine",
    "flac",
    "handler",
    "log_apart",
    "officer",
    "open_sessions",
    "run",
    "running",
    "sealed",
    "server",
    "settings_file",
    "speech",
]
