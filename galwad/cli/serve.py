"""`galwad serve`: run the daemon with its three processes, or run one of the processes."""

from __future__ import annotations

import gc
import importlib
import sys
from enum import StrEnum
from types import ModuleType
from typing import TYPE_CHECKING, Annotated, Final

import structlog
import typer

from galwad import supervise
from galwad.cli.support.console import CliError
from galwad.cli.support.lazy import new_command
from galwad.cli.support.options import DEFAULT_PATH, Config, Json, load_settings
from galwad.logs import configure
from galwad.process_start import FolderLockedError, forbid_core_dumps, lock_folder
from recording.errors import KeyFileError

if TYPE_CHECKING:
    from galwad.settings import Settings

log = structlog.get_logger()
app = new_command()


class Process(StrEnum):
    """The names of the three processes that `galwad serve` runs."""

    SWITCH = "switch"
    DESK = "desk"
    FINALISER = "finaliser"


# The modules are loaded by name, so that each process loads only its own code.
_MODULES: Final = {
    Process.SWITCH: "galwad.switch.life.daemon",
    Process.DESK: "galwad.desk",
    Process.FINALISER: "galwad.finaliser.process",
}


@app.command(epilog="Example: galwad serve --config /etc/galwad/galwad.toml")
def serve(
    *,
    only: Annotated[
        Process | None, typer.Option(help="Run only this process, for a systemd unit of its own.")
    ] = None,
    config: Config = DEFAULT_PATH,
    json: Json = False,
) -> None:
    """Run the daemon: switch, desk and finaliser.

    Without --only, this process starts the three processes as its children, and starts a child
    again if it dies. If a child dies three times in a row before it is ready, all stop. At SIGTERM,
    no new calls are accepted, and calls in progress continue until they end. Then the processes
    stop, the desk last. At a second SIGTERM, the processes are stopped without waiting for calls.
    The log goes to stderr. With --json, or if stderr is not a terminal, each line of the log is a
    JSON object.
    """
    supervise.die_with_parent()
    forbid_core_dumps()
    settings = load_settings(config)
    configure(only or "galwad", as_json=json or not sys.stderr.isatty())
    if only is None:
        raise typer.Exit(supervise.serve(config))
    raise typer.Exit(_run(only, settings))


def _load(name: str) -> ModuleType:
    """Import a module with the garbage collector off, which saves a fifth of the import's time.

    Later collections skip all objects that exist after the import, to save time too.
    """
    gc.disable()
    try:
        return importlib.import_module(name)
    finally:
        gc.freeze()
        gc.enable()


def _run(only: Process, settings: Settings) -> int:
    folder = settings.node.state / only
    try:
        folder.mkdir(mode=0o750, parents=True, exist_ok=True)
    except OSError as error:
        log.warning("folder.missing", folder=str(folder), reason=error.strerror)
    try:
        with lock_folder(folder):
            return int(_load(_MODULES[only]).run(settings))
    except FolderLockedError as error:
        raise CliError(
            str(error), f"only one {only} can run: stop the other one first, or let it run"
        ) from None
    except KeyFileError as error:
        raise CliError(str(error), error.hint) from None
