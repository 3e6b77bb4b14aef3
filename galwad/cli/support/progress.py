"""A progress bar for work on many recordings; it is drawn only on a terminal."""

from __future__ import annotations

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn


def progress_bar(what: str, *, quiet: bool) -> Progress:
    """Return a progress bar that is drawn on standard error.

    `what` is the text to the left of the bar. The bar is not drawn if `quiet` is true, or if
    standard error is not a terminal.
    """
    columns = TextColumn(what), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    out = Console(stderr=True)
    return Progress(*columns, console=out, disable=quiet or not out.is_terminal)
