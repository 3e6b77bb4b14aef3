"""A bar for what takes long, one recording after another; on a terminal alone."""

from __future__ import annotations

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn


def bar(what: str, *, quiet: bool) -> Progress:
    """Drawn beside the output, on standard error; `quiet` draws none."""
    columns = TextColumn(what), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    out = Console(stderr=True)
    return Progress(*columns, console=out, disable=quiet or not out.is_terminal)
