"""`galwad audit export`: write the whole audit chain to a file."""

from __future__ import annotations

import json as jsonlib
from pathlib import Path
from typing import Annotated

import typer

from galwad.cli.audit import chain
from galwad.cli.support.atomic import atomic_file
from galwad.cli.support.lazy import new_command
from galwad.cli.support.options import Json, Server

app = new_command()


@app.command(epilog="Example: galwad audit export -o chain.jsonl")
def export(
    *,
    output: Annotated[Path, typer.Option("--output", "-o", help="The file to write.")],
    force: Annotated[bool, typer.Option("--force", help="Replace it if it exists.")] = False,
    server: Server = "",
    json: Json = False,
) -> None:
    """Export the whole chain, one entry a line, for `audit verify` or standard tools.

    The export contains names of people and telephone numbers, except those that were erased from
    the chain.
    """
    count = 0
    with atomic_file(output, replace=force) as file:
        for link in chain.fetch(server):
            file.write(f"{link}\n".encode())
            count += 1
    output_facts = {"output": str(output), "entries": count}
    print(jsonlib.dumps(output_facts, indent=2) if json else f"{output}  {count} entries")
