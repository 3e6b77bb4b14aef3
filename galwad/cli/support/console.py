"""Output that all commands share: how a failure is reported, and how an answer is printed."""

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
"""The width in columns where the output is a file, which takes lines of any length."""


class CliError(Exception):
    """A command failed.

    `message` says what is wrong, one fault a line; `hint` how to go on; `status` is the exit
    status.
    """

    def __init__(self, message: str, hint: str = "", *, status: int = 1) -> None:
        self.message = message
        self.hint = hint
        self.status = status
        super().__init__(message)


def print_error(error: CliError) -> None:
    """Print `error: …` for each line of the message, and `hint: …`, to stderr."""
    for line in error.message.splitlines():
        print(f"error: {one_line(line)}", file=sys.stderr)
    if error.hint:
        print(f"hint: {one_line(error.hint)}", file=sys.stderr)


def one_line(text: str) -> str:
    """Replace unprintable characters, as text from outside could move the terminal's cursor."""
    return "".join(each if each.isprintable() else "\ufffd" for each in text)


def print_json(value: Any) -> None:
    """Print one JSON document to stdout; characters that its encoding lacks are escaped."""
    text = json.dumps(value, ensure_ascii=False, indent=2)
    try:
        text.encode(sys.stdout.encoding or "utf-8")
    except UnicodeEncodeError:
        text = json.dumps(value, indent=2)
    print(text)


def console() -> Console:
    """Return a console on stdout; if that is not a terminal, it prints plain text of any width.

    Brackets are printed as they are: names of callers and lines are not markup.
    """
    width = None if sys.stdout.isatty() else _ANY_WIDTH
    return Console(highlight=False, markup=False, emoji=False, width=width)


def print_table(columns: Sequence[str], rows: Iterable[Sequence[str]], empty: str) -> None:
    """Print rows under their columns, or the sentence `empty` if there are none."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for index, column in enumerate(columns):
        # The first column names a row and is never cut. Of the others, the widest is.
        table.add_column(_cell(column), no_wrap=index == 0)
    for row in rows:
        table.add_row(*map(_cell, row))
    console().print(table if table.row_count else empty)


def _cell(text: str) -> Text:
    return Text(one_line(text), no_wrap=True, overflow="ellipsis")


def local_time(epoch: float) -> str:
    """Return a Unix time as this machine's wall clock shows it."""
    return datetime.fromtimestamp(epoch, tz=UTC).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def clock(seconds: float) -> str:
    """Return a length of time such as `4:32`, or `1:04:32` from an hour on."""
    whole = int(seconds)
    minutes, rest = divmod(whole, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def size(octets: int) -> str:
    """Return a file's size in the unit that people would choose."""
    if octets < 1000:
        return f"{octets} B"
    if octets < 1_000_000:
        return f"{octets / 1000:.0f} kB"
    return f"{octets / 1_000_000:.1f} MB"
