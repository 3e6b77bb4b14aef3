"""`galwad calls`: what is going on now."""

from __future__ import annotations

import time

import typer

from galwad.cli.client import ask
from galwad.cli.console import clock, print_json, print_table
from galwad.cli.options import Json, Server

app = typer.Typer(
    help="Calls in progress.", rich_markup_mode=None, add_completion=False, no_args_is_help=True
)


@app.callback()
def calls() -> None:
    """Calls in progress."""


@app.command("list", epilog="Example: galwad calls list")
def list_(*, server: Server = "", json: Json = False) -> None:
    """List the calls in progress that you may see: state, advisor, recording.

    A recording state is the writer's own: what is really going to the disk.
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
