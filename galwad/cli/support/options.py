"""Options that several commands have, and the function that loads the settings file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, TypeAlias

import typer

from config.errors import SettingsError
from galwad.cli.support.centre_time import use_zone_of_settings
from galwad.cli.support.console import CliError
from galwad.texts import LANGUAGES, Texts, preferred_language

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
    typer.Option(help="The language of the sentences: cy or en. By default, that of $LANG."),
]

CallId: TypeAlias = Annotated[
    str, typer.Argument(help="The recording's id, as `recordings list` shows it.")
]
Reference: TypeAlias = Annotated[
    str, typer.Option(help="The reference of your case; the audit records it.")
]

__all__ = [
    "DEFAULT_PATH",
    "CallId",
    "Config",
    "Json",
    "Language",
    "Reference",
    "Server",
    "load_settings",
    "required",
    "texts_in",
]


def load_settings(path: Path) -> Settings:
    """Return the settings in the file `path`.

    Raises:
        CliError: The file cannot be read, or has faults; the message names each fault.
    """
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
    """Return the text that the user gave for `option`, without spaces at its start and end.

    Raises:
        CliError: The text is empty. The hint shows `example`.
    """
    if not text.strip():
        raise CliError(
            f"{option} is empty", f'write a value, such as {option} "{example}"', status=2
        )
    return text.strip()


def texts_in(language: str) -> Texts:
    """Return the texts in the language that the user gave, or in that of $LANG if it is empty.

    Raises:
        CliError: There are no texts in this language.
    """
    if language and language not in LANGUAGES:
        raise CliError(
            f'there are no texts in the language "{language}"',
            "write --language cy or --language en",
            status=2,
        )
    return Texts(language or preferred_language())
