"""`galwad calls list`: list the calls in progress."""

from __future__ import annotations

import time

from galwad.cli.support.client import ask
from galwad.cli.support.console import clock, print_json, print_table
from galwad.cli.support.lazy import new_command
from galwad.cli.support.options import Json, Server

app = new_command()


@app.command("list", epilog="Example: galwad calls list")
def list_(*, server: Server = "", json: Json = False) -> None:
    """List the calls in progress, with their state, advisor and recording state.

    Only the calls that you have permission to see are listed.

    The column RECORDING shows the state that the recorder itself reports. "(not yet durable)" means
    that the disk has not yet confirmed the newest pause or resume.
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
