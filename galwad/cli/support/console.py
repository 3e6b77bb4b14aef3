"""The error `CliError`, and the output of commands: JSON, tables, progress, times and sizes.

Times are printed in the centre's time zone, which a response of the server or the settings file
names. If the settings file names no zone, this machine's zone is used. Times are in UTC until a
command has read a response or the settings.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, tzinfo
from typing import TYPE_CHECKING, Any

from galwad.periods import machine_zone, zone_named

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress
    from rich.text import Text

_ANY_WIDTH = 1_000_000
"""The width in characters if stdout is not a terminal, so that no line is shortened."""


class CliError(Exception):
    """The failure of a command.

    `message` says what is wrong, with one line for each fault. `hint` says what the user can do.
    `status` is the exit status. `reason` is the server's name for the error, or "". `http_status`
    is the status of the server's response, or 0.
    """

    def __init__(
        self,
        message: str,
        hint: str = "",
        *,
        status: int = 1,
        reason: str = "",
        http_status: int = 0,
    ) -> None:
        self.message = message
        self.hint = hint
        self.status = status
        self.reason = reason
        self.http_status = http_status
        super().__init__(message)


def print_error(error: CliError) -> None:
    """Print an error to stderr: `error: …` for each line of the message, then `hint: …`."""
    for line in error.message.splitlines():
        print(f"error: {one_line(line)}", file=sys.stderr)
    if error.hint:
        print(f"hint: {one_line(error.hint)}", file=sys.stderr)


def one_line(text: str) -> str:
    """Replace unprintable characters by U+FFFD: a server could control the terminal with them."""
    return "".join(each if each.isprintable() else "\ufffd" for each in text)


def print_json(value: Any) -> None:
    """Print one JSON document to stdout.

    If stdout's encoding lacks a character of the document, all non-ASCII characters are escaped.
    """
    text = json.dumps(value, ensure_ascii=False, indent=2)
    try:
        text.encode(sys.stdout.encoding or "utf-8")
    except UnicodeEncodeError:
        text = json.dumps(value, indent=2)
    print(text)


def console() -> Console:
    """Return a console that prints to stdout.

    If stdout is not a terminal, the console never shortens a line. Square brackets in a text are
    printed unchanged and are not read as markup, because a caller's name may contain them.
    """
    from rich.console import Console  # noqa: PLC0415 - not loaded for a help text

    width = None if sys.stdout.isatty() else _ANY_WIDTH
    return Console(highlight=False, markup=False, emoji=False, width=width)


def print_table(columns: Sequence[str], rows: Iterable[Sequence[str]], empty: str) -> None:
    """Print a table with these columns and rows, or the sentence `empty` if there are no rows."""
    from rich.table import Table  # noqa: PLC0415 - as in `console`

    table = Table(box=None, pad_edge=False, header_style="bold")
    for index, column in enumerate(columns):
        # The first column identifies the row, so it is never shortened. If there is not enough
        # space, the widest of the other columns is shortened first.
        table.add_column(_cell(column), no_wrap=index == 0)
    for row in rows:
        table.add_row(*map(_cell, row))
    console().print(table if table.row_count else empty)


def _cell(text: str) -> Text:
    from rich.text import Text  # noqa: PLC0415 - as in `console`

    return Text(one_line(text), no_wrap=True, overflow="ellipsis")


def progress_bar(what: str, *, quiet: bool) -> Progress:
    """Return a progress bar on stderr, hidden if `quiet` is true or stderr is not a terminal."""
    from rich.console import Console  # noqa: PLC0415 - as in `console`
    from rich.progress import (  # noqa: PLC0415 - as in `console`
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    columns = TextColumn(what), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    out = Console(stderr=True)
    return Progress(*columns, console=out, disable=quiet or not out.is_terminal)


_zone: tzinfo = UTC


def reset_time_zone() -> None:
    """Set the time zone to UTC, before a new command."""
    _set_zone(UTC)


def use_zone_of_response(name: str) -> None:
    """Set the zone of all later printed times to the zone `name`, if this machine knows it."""
    if found := zone_named(name):
        _set_zone(found)


def use_zone_of_settings(zone: tzinfo | None) -> None:
    """Set the zone of all later printed times; None means this machine's zone, or else UTC."""
    _set_zone(zone or machine_zone() or UTC)


def centre_zone() -> tzinfo:
    """Return the centre's time zone, or UTC while the command does not know it."""
    return _zone


def centre_time(epoch: float) -> datetime:
    """Return a Unix time in the centre's time zone."""
    return datetime.fromtimestamp(epoch, tz=_zone)


def _set_zone(zone: tzinfo) -> None:
    global _zone  # noqa: PLW0603 - one command has one time zone, and dozens of places print times
    _zone = zone


def date_and_time(epoch: float) -> str:
    """Return a Unix time as text in the centre's time zone: `2026-11-24 09:30:00 GMT`."""
    return f"{centre_time(epoch):%Y-%m-%d %H:%M:%S %Z}"


def clock(seconds: float) -> str:
    """Return a duration in seconds as text: `4:32`, or `1:04:32` if it is an hour or longer."""
    whole = int(seconds)
    minutes, rest = divmod(whole, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def size(octets: int) -> str:
    """Return a number of octets as text in B, kB or MB, such as `1.5 MB`."""
    if octets < 1000:
        return f"{octets} B"
    if octets < 1_000_000:
        return f"{octets / 1000:.0f} kB"
    return f"{octets / 1_000_000:.1f} MB"
