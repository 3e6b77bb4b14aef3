"""The log of a process: one event a line on stderr, an event name with fields.

Coloured text on a terminal, JSON for the journal. An exception is logged as its type and the
places it passed, never its text or variables, which may hold what a caller or an advisor
sent; of another library's record only the origin is kept, for the same reason.
"""

from __future__ import annotations

import logging
import sys
import traceback
from typing import Any

import structlog
from structlog.typing import EventDict, Processor

_DEEPEST = 20


def configure(process: str, *, as_json: bool) -> None:
    """Set up structlog and the standard library's logging for this process."""
    renderer: Processor = (
        structlog.processors.JSONRenderer()
        if as_json
        else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            _Named(process),
            exception_without_text,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),
        cache_logger_on_first_use=False,
    )
    logging.basicConfig(handlers=[LibraryHandler()], level=logging.WARNING, force=True)
    logging.captureWarnings(capture=True)
    sys.excepthook = _on_uncaught


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


def _on_uncaught(_kind: object, error: BaseException, _trace: object) -> None:
    """The last word of a process: in its log, under the same rule as all others."""
    structlog.get_logger().critical("process.failed", exc_info=error)


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


class _Named:
    """Adds the name of the process to each event."""

    def __init__(self, process: str) -> None:
        self._process = process

    def __call__(self, _logger: Any, _method: str, event: EventDict) -> EventDict:
        event.setdefault("process", self._process)
        return event
