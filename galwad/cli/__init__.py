"""The command line, one file a noun.

Each module here that is named in `NOUNS` holds a Typer app and is loaded only when its noun
is used: a switch started by `galwad serve --only switch` never loads HTTP or audio code.
Failures are `CliError`s; `main` alone prints them, as one line and a hint on stderr, and
turns them into the exit status: 0 done, 1 failed, 2 used wrongly.
"""

from __future__ import annotations

import importlib
import io
import os
import sys
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from typer.core import TyperGroup

from galwad.cli.console import CliError, complain

NOUNS: Final = (
    "serve",
    "check",
    "login",
    "recordings",
    "calls",
    "audit",
    "keys",
    "users",
    "directory",
    "backup",
    "simulate",
)

# Typer carries its own copy of click; its public BadParameter is a UsageError.
_UsageError: Final[type[Exception]] = typer.BadParameter.__bases__[0]
_INTERRUPTED = 130
_CUT: Final = "what it was to do may be done all the same: look"


class Nouns(TyperGroup):
    """The top of the command line: finds a noun's module by its name."""

    def list_commands(self, ctx: Any) -> list[str]:
        """The nouns, in the order of a first day's work."""
        del ctx
        return list(NOUNS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Load the module of a noun."""
        del ctx
        if cmd_name not in NOUNS:
            return None
        module = importlib.import_module(f"galwad.cli.{cmd_name}")
        command = typer.main.get_command(module.app)
        command.name = cmd_name
        return command


app = typer.Typer(
    cls=Nouns,
    name="galwad",
    rich_markup_mode=None,
    no_args_is_help=True,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Example: galwad check --config /etc/galwad/galwad.toml",
)


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"galwad {version('galwad')}")
        raise typer.Exit


@app.callback()
def galwad(
    *,
    version: Annotated[
        bool,
        typer.Option(
            "--version", help="Print the version.", is_eager=True, callback=_print_version
        ),
    ] = False,
) -> None:
    """Receive calls, show who is calling, record what may be recorded, and prove it."""


def run(arguments: Sequence[str]) -> int:
    """Run one command line; the exit status."""
    command = typer.main.get_command(app)
    try:
        status = command.main(list(arguments), prog_name="galwad", standalone_mode=False)
    except CliError as error:
        complain(error)
        return error.status
    except _UsageError as error:
        complain(_wrong_usage(error))
        return 2
    except (typer.Abort, KeyboardInterrupt):
        status = _INTERRUPTED
    except UnicodeEncodeError:  # of an argument's bytes, which are a file's name at most
        complain(CliError("an argument is no text in UTF-8", "write it anew", status=2))
        return 2
    except OSError as error:  # of what it prints to, most likely: a full disk
        reason = (error.strerror or type(error).__name__).lower()
        complain(CliError(f"{error.filename or 'the output'}: {reason}", _CUT))
        return 1
    if status == _INTERRUPTED:  # Typer's own status, where it has caught the interrupt
        complain(CliError("interrupted", _CUT))
    return status if isinstance(status, int) else 0


def _wrong_usage(error: Any) -> CliError:
    where = error.ctx.command_path if error.ctx else "galwad"
    message = str(error.format_message())
    if message.startswith("Usage:"):  # a noun alone: Typer answers with its help
        print(message, file=sys.stderr)
        message = "a command is missing"
    message = " ".join(message.split()).rstrip(".").replace("Value error, ", "")
    return CliError(message[:1].lower() + message[1:], f"`{where} --help` shows how", status=2)


def main() -> None:
    """The `galwad` command. What it prints to may be closed, full, or know few letters."""
    if sys.stdout is None:
        sys.stdout = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115 - to the end
    if isinstance(sys.stdout, io.TextIOWrapper) and sys.stdout.errors == "strict":
        sys.stdout.reconfigure(errors="backslashreplace")
    sys.exit(_flushed(run(sys.argv[1:])))


def _flushed(status: int) -> int:
    """Bring out what is printed; the exit status. What failed before has been told."""
    try:
        sys.stdout.flush()
    except OSError as error:
        _drop_output()
        if status == 0 and not isinstance(error, BrokenPipeError):
            complain(CliError(f"the output: {(error.strerror or '').lower()}", _CUT))
        return status or 1
    return status


def _drop_output() -> None:
    """What could not be written is not tried again at the interpreter's end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
