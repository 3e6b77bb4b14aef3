"""Options and arguments that several commands have, and how their values are read."""

from __future__ import annotations

import re
import sys
import time
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, TypeAlias

import typer

from config.errors import SettingsError
from galwad.cli.support.console import CliError, centre_zone, use_zone_of_settings
from galwad.cli.support.page_texts import LANGUAGES, Texts, preferred_language
from galwad.periods import HINT, Period, period
from recording.call_id import is_call_id

if TYPE_CHECKING:
    from galwad.settings import Settings

DEFAULT_PATH: Final = Path("/etc/galwad/galwad.toml")
Json: TypeAlias = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]
Config: TypeAlias = Annotated[
    Path, typer.Option("--config", envvar="GALWAD_CONFIG", help="The settings file.")
]
Server: TypeAlias = Annotated[
    str, typer.Option("--server", help="The server's address, such as https://galwad.example.")
]
Language: TypeAlias = Annotated[
    str,
    typer.Option(
        help="The language of the sentences: cy or en. By default, that of the environment, such "
        "as $LANG."
    ),
]
CallId: TypeAlias = Annotated[
    str, typer.Argument(help="The recording's id, as `recordings list` shows it.")
]
Reference: TypeAlias = Annotated[
    str, typer.Option(help="The reference of your case; the audit records it.")
]
ForDisclosure: TypeAlias = Annotated[
    int | None,
    typer.Option(
        "--disclosure",
        min=1,
        help="The number of the disclosure, for legal-disclosure, crime and vital-interests.",
    ),
]
ForCase: TypeAlias = Annotated[
    int | None,
    typer.Option(
        "--case",
        min=1,
        help="For legal-disclosure: the number of the case in which a person asks for their data.",
    ),
]
Reason: TypeAlias = Annotated[
    str, typer.Option("--reason", help="The reason; the audit records it.")
]
Yes: TypeAlias = Annotated[bool, typer.Option("--yes", help="Do not ask for confirmation.")]
Days: TypeAlias = Annotated[
    str,
    typer.Option(
        "--date", help='The days: today, yesterday, monday, "last week", 2026-11-24, 2026-11.'
    ),
]
EarlierNodeKeys: TypeAlias = Annotated[
    list[str] | None,
    typer.Option("--node-key", help="An earlier public key of the node, or a file with it."),
]
_POSITION: Final = re.compile(r"(?:(?:(\d{1,9}):)?(\d{1,2}):)?(\d{1,9}(?:\.\d{1,9})?)")


def load_settings(path: Path) -> Settings:
    """Return the settings in a file, and print later times in their zone. Raises `CliError`."""
    from galwad.settings import EXAMPLE, load  # noqa: PLC0415 - the help needs no settings

    try:
        settings = load(path)
    except SettingsError as error:
        missing = not path.exists()
        hint = (
            "name your file with --config or $GALWAD_CONFIG; `galwad serve --help` shows how"
            if missing
            else f"{EXAMPLE} explains every setting"
        )
        raise CliError(str(error), hint) from None
    use_zone_of_settings(settings.desk.time_zone)
    return settings


def required(option: str, text: str, example: str) -> str:
    """Return the option's stripped text. If it is empty, raise CliError with the hint `example`."""
    if not text.strip():
        raise CliError(
            f"{option} is empty", f'write a value, such as {option} "{example}"', status=2
        )
    return text.strip()


def confirm(question: str, refused: str) -> None:
    """Ask the question on the terminal. Raise `CliError` with the text `refused` after a no.

    Without a terminal, raise `CliError` with the hint to add --yes.
    """
    if not sys.stdin.isatty():
        raise CliError(
            "confirmation is required, and there is no terminal to ask", "add --yes", status=2
        )
    if not typer.confirm(question, err=True):
        raise CliError(refused)


def texts_in(language: str) -> Texts:
    """Return the texts in this language; "" means `preferred_language`. Raises `CliError`."""
    if language and language not in LANGUAGES:
        raise CliError(
            f'there are no texts in the language "{language}"',
            "write --language cy or --language en",
            status=2,
        )
    return Texts(language or preferred_language())


def checked_id(call_id: str) -> str:
    """Return `call_id`, which is then safe in a URL; raise CliError if it is not a call id."""
    if not is_call_id(call_id):
        raise CliError(
            f'"{call_id}" is not a call id',
            "a call id looks like 20261125-093000-abcdefgh",
            status=2,
        )
    return call_id


def read_period(words: str, option: str) -> Period | None:
    """Return the period that words such as "last week" mean; None if `words` is empty.

    Days begin at midnight in `centre_zone()`. Raises `CliError`, which names `option`.
    """
    if not words:
        return None
    try:
        return period(words, time.time(), centre_zone())
    except ValueError:
        raise CliError(f'cannot read {option} "{words}"', HINT, status=2) from None


def checked_period(words: str, option: str) -> str:
    """Return `words` for the server, which computes the period; raise CliError if unreadable."""
    read_period(words, option)
    return words


def checked_day(text: str, option: str) -> str:
    """Return a date such as 2027-06-01 as it is; raise CliError if `text` is not a date."""
    try:
        return date.fromisoformat(text).isoformat()
    except ValueError:
        raise CliError(
            f'cannot read {option} "{text}"', "write a date such as 2027-06-01", status=2
        ) from None


def read_position(text: str, option: str) -> float | None:
    """Return seconds from `80`, `1:20` or `1:02:03.5`; None if empty. Raises `CliError`."""
    if not text:
        return None
    match = _POSITION.fullmatch(text)
    if match is None:
        raise CliError(
            f'cannot read {option} "{text}"', "write it as 1:20, 80 or 1:02:03", status=2
        )
    hours, minutes, rest = (float(part or 0) for part in match.groups())
    return hours * 3600 + minutes * 60 + rest
