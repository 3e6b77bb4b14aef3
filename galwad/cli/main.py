"""The `galwad` command: its groups of commands, its exit statuses, and its errors.

A command that fails raises a `CliError`. If its output already shows what failed, it raises
`typer.Exit(1)`. Only this module prints a `CliError`: the error and a hint, on stderr. The exit
status is 0 if the command succeeded, 1 if it failed, 2 if it was used wrongly, and 130 if it was
interrupted.
"""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from callerid.card_number import ADVICE, has_card_number
from galwad.cli.groups import GROUPS
from galwad.cli.support.console import CliError, print_error, reset_time_zone
from galwad.cli.support.lazy import LazyGroup

# Typer has its own copy of click. The class UsageError is not public there, but its subclass
# BadParameter is.
_UsageError: Final[type[Exception]] = typer.BadParameter.__bases__[0]
_INTERRUPTED = 130
_INTERRUPTED_HINT: Final = "the command may have done its work: check before you run it again"


_MODULES: Final = {
    "serve": "galwad.cli.serve",
    "check": "galwad.cli.check",
    "status": "galwad.cli.check",
    "login": "galwad.people.sign_in.commands",
    "password": "galwad.people.sign_in.commands",
    "promise-check": "galwad.archive.commands.promises",
    "evidence": "galwad.archive.commands.evidence",
}
SUMMARIES: Final = {
    "serve": "Run the daemon: switch, desk and finaliser.",
    "check": "Find the faults of an installation.",
    "status": "Show which processes are running on this server.",
    "login": "Sign in to a server.",
    "password": "Replace your own password.",
    "recordings": "Find, fetch, verify, flag and dispose of recordings.",
    "evidence": "Make an evidence pack of a recording for somebody.",
    "holds": "Open and release legal holds on recordings.",
    "disclosures": "Keep the register of who gets copies of recordings.",
    "cases": "Keep requests by people about their data, and complaints.",
    "retention": "Show and approve how long recordings are kept.",
    "calls": "List calls in progress; show figures and coverage.",
    "alarms": "List, take and close alarms.",
    "promise-check": "Check what the privacy notice promises, with evidence.",
    "audit": "List, export and verify the audit.",
    "keys": "Manage the officer's keys and the recipients.",
    "users": "Manage users, their tokens and their phones.",
    "directory": "Manage the directory of callers.",
    "contacts": "List, retry or discard undelivered contact notes.",
    "texts": "List and change texts in both languages.",
    "backup": "Back up this server, or restore it.",
    "simulate": "Test an installation with simulated calls.",
}
"""The top-level commands and groups, in the order of the help."""


class _CommandGroups(LazyGroup):
    def __init__(self, **options: Any) -> None:
        super().__init__(summaries=SUMMARIES, modules=_MODULES, groups=GROUPS, **options)


app = typer.Typer(
    cls=_CommandGroups,
    name="galwad",
    rich_markup_mode=None,
    no_args_is_help=True,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Example: galwad check --config /etc/galwad/galwad.toml",
)


def _print_version(wanted: bool) -> None:
    if wanted:
        # Loading this module takes longer than printing the help.
        from importlib.metadata import version  # noqa: PLC0415

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
    """Receive calls, show who is calling, record calls (but no payments), verify recordings."""


def run(arguments: Sequence[str]) -> int:
    """Run the command with these command-line arguments and return its exit status."""
    command = typer.main.get_command(app)
    reset_time_zone()
    try:
        _refuse_card_numbers(arguments)
        status = command.main(list(arguments), prog_name="galwad", standalone_mode=False)
    except CliError as error:
        print_error(error)
        return error.status
    except _UsageError as error:
        print_error(_wrong_usage(error))
        return 2
    except (typer.Abort, KeyboardInterrupt):
        status = _INTERRUPTED
    except UnicodeEncodeError:  # an argument, such as a file name, is not UTF-8
        print_error(
            CliError(
                "an argument is not valid UTF-8", "type it again, or rename the file", status=2
            )
        )
        return 2
    except OSError as error:
        # most likely, standard output could not be written because a disk is full
        reason = (error.strerror or type(error).__name__).lower()
        what = f"use {error.filename}" if error.filename else "write the output"
        print_error(CliError(f"cannot {what}: {reason}", _INTERRUPTED_HINT))
        return 1
    # the status was set in an `except` above, or it was returned by Typer, which had caught the
    # interrupt
    if status == _INTERRUPTED:
        print_error(CliError("interrupted", _INTERRUPTED_HINT))
    return status if isinstance(status, int) else 0


def _refuse_card_numbers(arguments: Sequence[str]) -> None:
    """Raise CliError if the arguments contain a card number. The error does not repeat the number.

    The groups of a card number can be separate arguments.
    """
    if not has_card_number(" ".join(arguments)):
        return
    name = "an argument"
    for before, argument in pairwise(("", *arguments)):
        option, _, value = argument.partition("=")
        if has_card_number(value if value and option.startswith("--") else argument):
            given = option if value else before
            name = given if given.startswith("--") else name
            break
    raise CliError(f"{name} seems to contain a payment card number", ADVICE, status=2)


def _wrong_usage(error: Any) -> CliError:
    where = error.ctx.command_path if error.ctx else "galwad"
    message = str(error.format_message())
    # if the user gives only a group (such as `galwad audit`) without a command, Typer's message is
    # the whole help text
    if message.startswith("Usage:"):
        print(message, file=sys.stderr)
        message = "a command is missing"
    message = " ".join(message.split()).rstrip(".").replace("Value error, ", "")
    return CliError(
        message[:1].lower() + message[1:], f"`{where} --help` shows how to use it", status=2
    )


def main() -> None:
    """Run the `galwad` command and exit the process.

    Standard output may be closed, may fail because a disk is full, or may not encode all
    characters.
    """
    if sys.stdout is None:
        sys.stdout = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115 - to the end
    if isinstance(sys.stdout, io.TextIOWrapper) and sys.stdout.errors == "strict":
        sys.stdout.reconfigure(errors="backslashreplace")
    sys.exit(_flushed(run(sys.argv[1:])))


def _flushed(status: int) -> int:
    """Flush standard output and return the exit status.

    If the flush fails and `status` is 0, return 1. Also print an error, unless standard output is a
    closed pipe. In all other cases, return `status`.
    """
    try:
        sys.stdout.flush()
    except OSError as error:
        _drop_output()
        if status == 0 and not isinstance(error, BrokenPipeError):
            print_error(
                CliError(
                    f"cannot write the output: {(error.strerror or '').lower()}", _INTERRUPTED_HINT
                )
            )
        return status or 1
    return status


def _drop_output() -> None:
    """Redirect stdout to /dev/null, because the interpreter flushes it once more when it exits."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
