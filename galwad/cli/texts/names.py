"""The names of the lists of texts, as arguments of commands."""

from __future__ import annotations

from typing import Annotated, TypeAlias, get_args

import typer

from galwad.cli.support.console import CliError
from galwad.text_lists import ListName

NAMES: tuple[str, ...] = get_args(ListName)
Name: TypeAlias = Annotated[
    str, typer.Argument(metavar="LIST", help="lines, purposes, breaks, no_note_reasons or teams.")
]


def checked_name(name: str) -> str:
    """Return the name of a list of texts.

    Raises:
        CliError: There is no such list.
    """
    if name not in NAMES:
        raise CliError(
            f'there is no list "{name}"', f"name one of these: {', '.join(NAMES)}", status=2
        )
    return name
