"""`galwad keys trust`: sign the list of the nodes whose recordings the officer trusts."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from galwad.cli.keys.key_files import Folder, key_errors, load_officer
from galwad.cli.support.atomic import atomic_file, check_writable
from galwad.cli.support.console import print_json
from galwad.cli.support.lazy import new_command
from galwad.cli.support.options import Json
from galwad.cli.support.public_keys import public_key
from recording.keys.trust_file import FILE_NAME, sign_trust

app = new_command()


@app.command(epilog="Example: galwad keys trust ~/galwad-keys --node-key galwad.pub")
def trust(
    folder: Folder,
    *,
    node_key: Annotated[
        list[str],
        typer.Option(
            help="The public key of a node, or a file with it; repeat it for each node, and for "
            "earlier keys of a node."
        ),
    ],
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help=f"The file; by default FOLDER/{FILE_NAME}."),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace the file if it exists.")] = False,
    json: Json = False,
) -> None:
    """Sign the list of the nodes that you trust, for `galwad recordings verify`.

    The server stores each node's public key as NODE.pub in the archive's folder. Take it from there
    once, compare it with the administrator by telephone, and keep a copy. The list replaces an
    earlier one, so name every node.
    """
    keys = [public_key(each, "--node-key") for each in node_key]
    parent = folder if folder.is_dir() else folder.parent
    path = output or parent / FILE_NAME
    check_writable(path, replace=force)
    with key_errors():
        content = sign_trust(keys, load_officer(folder).signing)
    with atomic_file(path, replace=force, mode=0o644) as file:
        file.write(content)
    if json:
        print_json({"file": str(path), "node_keys": sorted(set(keys))})
        return
    print(f"{path}: trusted nodes")
    for key in sorted(set(keys)):
        print(f"  {key}")
