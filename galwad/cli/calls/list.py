"""`galwad calls`: calls in progress, and the account of every call's seconds."""

from __future__ import annotations

import time
from typing import Annotated

import typer

from galwad.cli import coverage as books
from galwad.cli.client import ask
from galwad.cli.console import clock, print_json, print_table
from galwad.cli.options import Json, Server

app = typer.Typer(
    help="Calls in progress, and every call's seconds.",
    rich_markup_mode=None,
    add_completion=False,
    no_args_is_help=True,
)


@app.callback()
def calls() -> None:
    """Calls in progress, and every call's seconds."""


@app.command("list", epilog="Example: galwad calls list")
def list_(*, server: Server = "", json: Json = False) -> None:
    """List the calls in progress that you may see: state, advisor, recording.

    The recording state comes from the recorder itself: it shows what is written to the disk.
    """
    pops = ask(server, "GET", "/calls")
    if json:
        print_json(pops)
        return
    now = time.time()
    print_table(
        ("CALL", "LINE", "STATE", "FOR", "ADVISOR", "RECORDING"),
        (
            (
                pop["call_id"],
                pop["line"],
                pop["state"],
                clock(max(0.0, now - pop["since"])),
                pop["advisor"] or "",
                pop["recording"] + ("" if pop["durable"] else " (not yet durable)"),
            )
            for pop in pops
        ),
        empty="No calls in progress.",
    )


@app.command(epilog="Example: galwad calls coverage --date yesterday")
def coverage(
    *,
    date: Annotated[
        str,
        typer.Option(help='Of: today, yesterday, monday, "last week", 2026-11-24, 2026-11.'),
    ] = "today",
    server: Server = "",
    json: Json = False,
) -> None:
    """Account for each second of each answered call: recorded, or missing for a reason.

    Draws every call with seconds that nothing explains, and names files, rows and spools whose
    counterpart is missing, anywhere in the archive. Nothing is deleted. Exit status 1 if there is
    any. The server makes the same check every night, and raises an alarm for each new finding.
    """
    found = books.fetch(date, server)
    if json:
        print_json(found)
    else:
        books.show(found)
    failure = books.verdict(found)
    if failure is not None:
        raise failure
