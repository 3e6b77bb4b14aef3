"""`galwad texts reset`: let the list of the settings count again."""

from __future__ import annotations

from galwad.cli.support.client import ask
from galwad.cli.support.console import print_json
from galwad.cli.support.lazy import new_command
from galwad.cli.support.options import Json, Server
from galwad.cli.texts.names import Name, checked_name

app = new_command()


@app.command(epilog="Example: galwad texts reset purposes")
def reset(name: Name, *, server: Server = "", json: Json = False) -> None:
    """Let the list of the settings count again, at once on all open pages."""
    path = f"/texts/{checked_name(name)}"
    version = ask(server, "GET", path)["version"]
    found = ask(server, "DELETE", path, {"version": version})
    if json:
        print_json(found)
    else:
        print(f"{name}: {len(found['entries'])} entries, from the settings")
