"""`galwad texts list`: show the lists of texts as they count now."""

from __future__ import annotations

from typing import Annotated

import typer

from galwad.cli.support.client import ask
from galwad.cli.support.console import date_and_time, print_json, print_table
from galwad.cli.support.lazy import new_command
from galwad.cli.support.options import Json, Server
from galwad.cli.texts.names import checked_name

app = new_command()


@app.command("list", epilog="Example: galwad texts list purposes --json > purposes.json")
def list_(
    name: Annotated[
        str,
        typer.Argument(metavar="[LIST]", help="lines, purposes, breaks, no_note_reasons or teams."),
    ] = "",
    *,
    server: Server = "",
    json: Json = False,
) -> None:
    """Show one list of texts, or all, with the place or the administrator that each comes from."""
    path = f"/texts/{checked_name(name)}" if name else "/texts"
    found = ask(server, "GET", path)
    if json:
        print_json(found)
        return
    lists = [found] if name else found
    print_table(
        ("LIST", "CODE", "ENGLISH", "WELSH", "FROM"),
        (
            (each["name"], entry["code"], entry["en"], entry["cy"], _origin(each))
            for each in lists
            for entry in each["entries"]
        ),
        empty="There are no texts.",
    )


def _origin(each: dict[str, object]) -> str:
    if each["from_settings"]:
        return "settings" if each["settings"] else "galwad"
    return f"{each['changed_by']}, {date_and_time(float(str(each['changed'])))}"
