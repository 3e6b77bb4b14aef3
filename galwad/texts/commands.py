"""`galwad texts`: list and change the lists of texts in both languages."""

from __future__ import annotations

import json as json_module
from pathlib import Path
from typing import Annotated, Any, TypeAlias, get_args

import typer

from galwad.cli.support.client import ask
from galwad.cli.support.console import CliError, date_and_time, print_json, print_table
from galwad.cli.support.lazy import new_command
from galwad.cli.support.options import Json, Server
from galwad.texts.rules import ListName

app = new_command()
_NAMES: tuple[str, ...] = get_args(ListName)
Name: TypeAlias = Annotated[
    str, typer.Argument(metavar="LIST", help="lines, purposes, breaks, no_note_reasons or teams.")
]
_EXAMPLE = '[{"code": "waste-1", "en": "Missed collection", "cy": "Casgliad a fethwyd"}]'


def _checked(name: str) -> str:
    if name not in _NAMES:
        raise CliError(
            f'there is no list "{name}"', f"name one of these: {', '.join(_NAMES)}", status=2
        )
    return name


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
    """Show one list of texts, or all, with the source of each."""
    path = f"/texts/{_checked(name)}" if name else "/texts"
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
    """Replace the entries of a list. The change takes effect at once, also on open pages.

    If the file has a `version`, as `galwad texts list LIST --json` prints it, the change is refused
    if the list was changed since.
    """
    path = f"/texts/{_checked(name)}"
    content = _read(file)
    version = content.get("version") or ask(server, "GET", path)["version"]
    found = ask(server, "PUT", path, {"version": version, "entries": content["entries"]})
    if json:
        print_json(found)
    else:
        print(f"{name}: {len(found['entries'])} entries")


def _read(file: Path) -> dict[str, Any]:
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


@app.command(epilog="Example: galwad texts reset purposes")
def reset(name: Name, *, server: Server = "", json: Json = False) -> None:
    """Put the first list, from the settings or from Galwad, in force again.

    The change takes effect at once, also on open pages.
    """
    path = f"/texts/{_checked(name)}"
    version = ask(server, "GET", path)["version"]
    found = ask(server, "DELETE", path, {"version": version})
    if json:
        print_json(found)
    else:
        print(f"{name}: {len(found['entries'])} entries are in force again")
