"""`galwad texts set`: replace the entries of a list of texts by those of a file."""

from __future__ import annotations

import json as json_module
from pathlib import Path
from typing import Annotated, Any

import typer

from galwad.cli.support.client import ask
from galwad.cli.support.console import CliError, print_json
from galwad.cli.support.lazy import new_command
from galwad.cli.support.options import Json, Server
from galwad.cli.texts.names import Name, checked_name

app = new_command()
_EXAMPLE = '[{"code": "waste-1", "en": "Missed collection", "cy": "Casgliad a fethwyd"}]'


@app.command("set", epilog="Example: galwad texts set purposes purposes.json")
def set_(
    name: Name,
    file: Annotated[
        Path, typer.Argument(help="A JSON file: a list of entries, or what `list --json` printed.")
    ],
    *,
    server: Server = "",
    json: Json = False,
) -> None:
    """Replace the entries of a list. The list counts at once, on all open pages.

    If the file has a `version`, as `galwad texts list LIST --json` prints it, the change is refused
    if the list was changed since.
    """
    path = f"/texts/{checked_name(name)}"
    content = _read(file)
    version = content.get("version") or ask(server, "GET", path)["version"]
    found = ask(server, "PUT", path, {"version": version, "entries": content["entries"]})
    if json:
        print_json(found)
    else:
        print(f"{name}: {len(found['entries'])} entries")


def _read(file: Path) -> dict[str, Any]:
    """Return the object with `entries`, and perhaps `version`, in a file.

    Raises:
        CliError: The file cannot be read, or has something else.
    """
    try:
        content = json_module.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise CliError(f"cannot read {file}: {error.strerror}", "check the path") from None
    except ValueError:
        raise CliError(f"{file} is not JSON in UTF-8", f"write such a list: {_EXAMPLE}") from None
    if isinstance(content, list):
        return {"entries": content}
    if not isinstance(content, dict) or not isinstance(content.get("entries"), list):
        raise CliError(f"{file} has no list of entries", f"write such a list: {_EXAMPLE}")
    return content
