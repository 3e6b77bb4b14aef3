"""The log of a process: one event a line on stderr, an event name with fields.

Coloured text on a terminal, JSON for the journal. Nothing here adds what a caller did not
log: no local variables, no request lines.
"""

from __future__ import annotations

import logging
import sys
from typing import Any

import structlog


def configure(process: str, *, as_json: bool) -> None:
    """Set up structlog and the standard library's logging for this process."""
    structlog.contextvars.clear_contextvars()
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _Named(process),
    ]
    renderer: list[Any] = (
        [structlog.processors.dict_tracebacks, structlog.processors.JSONRenderer()]
        if as_json
        else [structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())]
    )
    structlog.configure(
        processors=[*shared, *renderer],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    logging.basicConfig(
        level=logging.WARNING,
        stream=sys.stderr,
        format=f"%(levelname)s {process} %(name)s %(message)s",
    )


class _Named:
    """Adds the name of the process to each event."""

    def __init__(self, process: str) -> None:
        self._process = process

    def __call__(self, _logger: Any, _method: str, event: dict[str, Any]) -> dict[str, Any]:
        event.setdefault("process", self._process)
        return event
