"""The log of a process: each line on stderr is one event, with a name and fields.

The lines are text, coloured on a terminal, or JSON. For the systemd journal, the event's priority
(sd-daemon(3)) precedes the JSON on each line, so that `journalctl -p warning` finds warnings and
errors.

If an exception is logged, only its type and the files and line numbers in its traceback appear in
the log. The text and the variables of an exception are never logged, because they may contain what
a caller or an advisor sent. For the same reason, the text of a log record from another library is
never logged. Instead, the log has the record's logger, module and line number, and its exception as
described above.
"""

from __future__ import annotations

import logging
import os
import sys
import traceback
from collections.abc import Mapping
from typing import Any, Final

import structlog
from structlog.typing import EventDict, Processor

_DEEPEST = 20
_PRIORITIES: Final[Mapping[str, int]] = {
    "critical": 2,
    "error": 3,
    "warning": 4,
    "info": 6,
    "debug": 7,
}
"""The syslog priority of each of our log levels."""


def configure(process: str, *, as_json: bool) -> None:
    """Set up structlog and logging for the process `process`, with lines of JSON or text."""
    renderer: Processor
    if as_json:
        renderer = _ForTheJournal() if _journal_listens() else structlog.processors.JSONRenderer()
    else:
        renderer = structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
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


def are_json() -> bool:
    """Return whether this process writes its log as JSON, and not as text for a terminal."""
    renderer = structlog.get_config()["processors"][-1]
    return not isinstance(renderer, structlog.dev.ConsoleRenderer)


def _journal_listens() -> bool:
    """Return whether stderr is the systemd journal: $JOURNAL_STREAM has its device and inode."""
    stream = os.environ.get("JOURNAL_STREAM")
    if not stream:
        return False
    status = os.fstat(sys.stderr.fileno())
    return stream == f"{status.st_dev}:{status.st_ino}"


def exception_without_text(_logger: Any, _method: str, event: EventDict) -> EventDict:
    """Replace `exc_info` by two fields without the exception's text.

    `exception` is the name of its type, and `passed` has its innermost 20 frames, each as
    `FILE:LINE`.
    """
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
    """Log an exception that no code caught, without the exception's text."""
    structlog.get_logger().critical("process.failed", exc_info=error)


class LibraryHandler(logging.Handler):
    """Writes the log records of other libraries to our log, without the text of the records."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write a log event without the record's text, which may have data that a caller sent."""
        info = record.exc_info[1] if record.exc_info else None
        structlog.get_logger().log(
            record.levelno,
            "library.message",
            logger=record.name,
            where=f"{record.module}:{record.lineno}",
            exc_info=info,
        )


class _Named:
    """Adds the name of the process to each log event."""

    def __init__(self, process: str) -> None:
        self._process = process

    def __call__(self, _logger: Any, _method: str, event: EventDict) -> EventDict:
        event.setdefault("process", self._process)
        return event


class _ForTheJournal:
    """Writes an event as one line for the journal: its priority, such as `<4>`, then JSON."""

    def __init__(self) -> None:
        self._json = structlog.processors.JSONRenderer()

    def __call__(self, logger: Any, method: str, event: EventDict) -> str:
        priority = _PRIORITIES[event["level"]]
        text = self._json(logger, method, event)
        return f"<{priority}>{text if isinstance(text, str) else text.decode()}"
