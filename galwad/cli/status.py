"""`galwad status`: show which processes are running on this server."""

from __future__ import annotations

from galwad.cli.checks.processes import CONSEQUENCES
from galwad.cli.support.console import CliError, print_json, print_table
from galwad.cli.support.lazy import new_command
from galwad.cli.support.options import DEFAULT_PATH, Config, Json, load_settings
from galwad.process_state import State, states

app = new_command()


@app.command(epilog="Example: galwad status")
def status(*, config: Config = DEFAULT_PATH, json: Json = False) -> None:
    """Show whether the switch, the desk and the finaliser are running on this server.

    The exit status is 0 if all three are running and answer, otherwise 1. `galwad check` examines
    the installation.
    """
    found = states(load_settings(config))
    if json:
        print_json([{"name": e.name, "state": e.state.value, "pid": e.pid} for e in found])
    else:
        print_table(
            ("PROCESS", "STATE", "PID"),
            ((each.name, each.state.value, str(each.pid or "")) for each in found),
            empty="",
        )
    down = [each for each in found if each.state is not State.RUNNING]
    if down:
        raise CliError(
            "; ".join(f"the {e.name} {_verb(e.state)}: {CONSEQUENCES[e.name]}" for e in down),
            f"journalctl -u galwad-{down[0].name} shows why; `galwad check` examines the rest",
        )


def _verb(state: State) -> str:
    return "is not running" if state is State.STOPPED else "does not answer"
