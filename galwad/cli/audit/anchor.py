"""`galwad audit anchor`: append an anchor of the audit chain to a file.

An anchor is the number and the hash of the newest entry of the chain.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from galwad.cli.audit import anchors
from galwad.cli.support.console import print_json
from galwad.cli.support.lazy import new_command
from galwad.cli.support.options import Json, Server

app = new_command()


@app.command(epilog="Example: galwad audit anchor -o anchors.jsonl")
def anchor(
    *,
    output: Annotated[
        Path, typer.Option("--output", "-o", help="The file of anchors to add a line to.")
    ],
    server: Server = "",
    json: Json = False,
) -> None:
    """Append the newest entry's number and hash to a file that you keep.

    If you do this once a day, each change or removal of an older entry can be found. Run the
    command on a machine to which the server's administrators have no access. The command first
    checks that the chain still contains the entry of the newest anchor in the file. If it does not,
    the command fails and adds nothing to the file.
    """
    added = anchors.add_anchor(output, server)
    if json:
        print_json({"output": str(output), "seq": added.head.seq, "hash": added.head.hash})
    else:
        print(f"{output}  entry {added.head.seq}, {added.head.hash}")
