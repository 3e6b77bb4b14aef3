"""What all commands share: how a failure is told, and how an answer is printed."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

_ANY_WIDTH = 1_000_000
"""Columns: a file takes any line as it is."""


class CliError(Exception):
    """A command failed: what went wrong (one line each), how to go on, the exit status."""

    def __init__(self, message: str, hint: str = "", *, status: int = 1) -> None:
        self.message = message
        self.hint = hint
        self.status = status
        super().__init__(message)


def complain(error: CliError) -> None:
    """Print `error: …` for each line of the message, and `hint: …`, to stderr."""
    for line in error.message.splitlines():
        print(f"error: {one_line(line)}", file=sys.stderr)
    if error.hint:
        print(f"hint: {one_line(error.hint)}", file=sys.stderr)


def one_line(text: str) -> str:
    """What a stranger may have written, without what moves a terminal's cursor."""
    return "".join(each if each.isprintable() else "\ufffd" for each in text)


def print_json(value: Any) -> None:
    """Print one JSON document to stdout; what that cannot have in it is escaped as JSON does."""
    text = json.dumps(value, ensure_ascii=False, indent=2)
    try:
        text.encode(sys.stdout.encoding or "utf-8")
    except UnicodeEncodeError:
        text = json.dumps(value, indent=2)
    print(text)


def console() -> Console:
    """A console on stdout; where that is no terminal, plain text of any width.

    Brackets are brackets: who calls, and what a line is called, is no markup.
    """
    width = None if sys.stdout.isatty() else _ANY_WIDTH
    return Console(highlight=False, markup=False, emoji=False, width=width)


def print_table(columns: Sequence[str], rows: Iterable[Sequence[str]], empty: str) -> None:
    """Print rows under their columns, or the sentence `empty`."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for index, column in enumerate(columns):
        # The first column names a row, and is never cut short; of the others the widest is.
        table.add_column(_cell(column), no_wrap=index == 0)
    for row in rows:
        table.add_row(*map(_cell, row))
    console().print(table if table.row_count else empty)


def _cell(text: str) -> Text:
    return Text(one_line(text), no_wrap=True, overflow="ellipsis")


def local_time(epoch: float) -> str:
    """A Unix time as this machine's wall clock says it."""
    return datetime.fromtimestamp(epoch, tz=UTC).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def clock(seconds: float) -> str:
    """A length: `4:32`, or `1:04:32` from an hour on."""
    whole = int(seconds)
    minutes, rest = divmod(whole, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def size(octets: int) -> str:
    """A file's size in the unit that people would choose."""
    if octets < 1000:
        return f"{octets} B"
    if octets < 1_000_000:
        return f"{octets / 1000:.0f} kB"
    return f"{octets / 1_000_000:.1f} MB"
