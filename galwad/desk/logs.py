"""The desk's log: one JSON object a line on standard output, for the journal.

Entries are event names with fields, call ids and never numbers. An exception is logged as its
type and the places it passed, never its text, which may hold what a caller or advisor sent;
of other libraries' records only the origin is kept, for the same reason.
"""

from __future__ import annotations

import logging
import sys
import traceback
from typing import Any

import structlog
from structlog.typing import EventDict

_DEEPEST = 20


def configure() -> None:
    """Set up structlog and the standard library's logging for this process."""
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            exception_without_text,
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.WriteLoggerFactory(),
        cache_logger_on_first_use=False,
    )
    logging.basicConfig(handlers=[LibraryHandler()], level=logging.WARNING, force=True)
    logging.captureWarnings(capture=True)


def exception_without_text(_logger: Any, _method: str, event: EventDict) -> EventDict:
    """Replace `exc_info` by `exception` (a type) and `passed` (places in the source)."""
    info = event.pop("exc_info", None)
    if info is True:
        info = sys.exception()
    if isinstance(info, BaseException):
        event["exception"] = type(info).__name__
        event["passed"] = [
            f"{frame.filename}:{frame.lineno}"
            for frame in traceback.extract_tb(info.__traceback__)[-_DEEPEST:]
        ]
    return event


class LibraryHandler(logging.Handler):
    """Turns another library's record into an entry of ours, without its text."""

    def emit(self, record: logging.LogRecord) -> None:
        """Log where it came from; see the module's docstring."""
        info = record.exc_info[1] if record.exc_info else None
        structlog.get_logger().log(
            record.levelno,
            "library.message",
            logger=record.name,
            where=f"{record.module}:{record.lineno}",
            exc_info=info,
        )
