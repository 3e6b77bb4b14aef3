"""`galwad directory test`: look a number up in each directory, and show each step.

It shows no names and no telephone numbers of people, because no advisor has confirmed a caller. Of
each record, it shows the id, the language, and which details have a value.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from callerid.errors import CallerIdError, NumberError
from galwad.cli.support.console import CliError, print_json
from galwad.cli.support.lazy import new_command
from galwad.cli.support.options import DEFAULT_PATH, Config, Json, load_settings
from net.errors import ServerError

if TYPE_CHECKING:
    from callerid.directories import ExternalDirectory
    from callerid.number import PhoneNumber
    from callerid.person import Person
    from callerid.source import DirectorySource
    from galwad.settings import Settings


app = new_command()
_EMBEDDED = "directory"


@dataclass(frozen=True, slots=True)
class FoundRecord:
    """A person in the answer of a directory, without name, telephone numbers and details."""

    person_id: str
    kept: bool
    """True if the person has the number that was sought, as `matching` decides."""
    main_line: bool
    """True if the person has this number only without its extension, or with another extension."""
    hidden: bool
    """True if a screen-pop never shows the person."""
    numbers: int
    """The number of telephone numbers that the record has."""
    language: str
    details: tuple[str, ...]
    """The names of the details that have a value."""


@dataclass(frozen=True, slots=True)
class DirectoryTest:
    """The answer of a directory: the people, or why it cannot be searched."""

    name: str
    request: str
    """The server and the form of the request; "" for the embedded directory."""
    ms: int
    error: str
    people: tuple[FoundRecord, ...]


@app.command("test", epilog="Example: galwad directory test 01632960001 --source crm")
def look_up(
    number: Annotated[str, typer.Argument(help="The number, as the caller presents it.")],
    *,
    source: Annotated[
        str, typer.Option(help="Ask only this directory; `directory` is Galwad's own.")
    ] = "",
    config: Config = DEFAULT_PATH,
    json: Json = False,
) -> None:
    """Look a number up in each directory, and show each step. Run this on the server, as root.

    For each directory, the command shows the request, the time of the answer, the records in the
    answer, which of them have this number, and which details they have. It shows no names.
    """
    settings = load_settings(config)
    sought = _number(number)
    sections = [each for each in settings.directories if source in {"", each.name}]
    embedded = source in {"", _EMBEDDED}
    if not (sections or embedded):
        known = ", ".join([_EMBEDDED, *(each.name for each in settings.directories)])
        raise CliError(f'there is no directory "{source}"', f"the directories are {known}")
    found = asyncio.run(_test(settings, sought, sections, embedded=embedded))
    if json:
        print_json({"number": str(sought), "directories": [asdict(each) for each in found]})
    else:
        _print(sought, found)
    if any(each.error for each in found):
        raise typer.Exit(1)


def _number(text: str) -> PhoneNumber:
    from callerid.number import PhoneNumber  # noqa: PLC0415 - phonenumbers takes long to load

    if text.isascii() and text.isdecimal() and len(text) < 7:
        return PhoneNumber("", text)
    try:
        return PhoneNumber.parse(text)
    except NumberError as error:
        raise CliError(
            f'"{text}" {error}', "write it as the caller presents it, such as +441632960001"
        ) from None


async def _test(
    settings: Settings,
    number: PhoneNumber,
    sections: Sequence[ExternalDirectory],
    *,
    embedded: bool,
) -> list[DirectoryTest]:
    from callerid.directories.embedded import EmbeddedDirectory  # noqa: PLC0415 - loads SQLite
    from galwad.cli.checks.files import with_stored_files  # noqa: PLC0415 - loads the settings

    area_code = settings.directory.area_code
    found = []
    if embedded:
        own = EmbeddedDirectory(settings.directory_file)
        found.append(await _search(own, number, area_code, ""))
    for section in sections:
        request = section.target
        try:
            directory = with_stored_files(section).open()
        except (CallerIdError, ServerError) as error:
            found.append(DirectoryTest(section.name, request, 0, str(error), ()))
            continue
        try:
            if number.e164 or directory.has_extensions:
                found.append(await _search(directory, number, area_code, request))
            else:
                why = "the directory is not asked for internal extensions (`extensions = false`)"
                found.append(DirectoryTest(section.name, request, 0, why, ()))
        finally:
            await directory.close()
    return found


async def _search(
    source: DirectorySource, number: PhoneNumber, area_code: str, request: str
) -> DirectoryTest:
    from callerid.written_numbers import matching  # noqa: PLC0415 - loads the parser of numbers

    began, error = time.monotonic(), ""
    people: Sequence[Person] = ()
    try:
        people = await source.find(number)
    except (CallerIdError, ServerError) as failure:
        error = str(failure)
    ms = round((time.monotonic() - began) * 1000)
    kept = {each.person_id: each for each in matching(people, number, area_code=area_code)}
    tested = tuple(
        FoundRecord(
            each.person_id,
            kept=each.person_id in kept,
            main_line=each.person_id in kept and kept[each.person_id].main_line,
            hidden=each.do_not_pop,
            numbers=len(each.numbers),
            language=each.language,
            details=tuple(name for name, _ in each.details),
        )
        for each in people
    )
    return DirectoryTest(source.name, request, ms, error, tested)


def _print(number: PhoneNumber, found: Sequence[DirectoryTest]) -> None:
    from callerid.written_numbers import spellings  # noqa: PLC0415 - loads the parser of numbers

    print(f"The number is {number}; its spellings are {', '.join(spellings(number))}.")
    for directory in found:
        print()
        print(f"{directory.name}  {directory.request}".rstrip())
        if directory.error:
            print(f"  error: {directory.error}")
            continue
        print(f"  answered in {directory.ms} ms with {_counted(len(directory.people), 'record')}")
        for person in directory.people:
            print(f"  {_line(person)}")


def _line(person: FoundRecord) -> str:
    if not person.kept:
        return f"discarded  {person.person_id}: it has another number"
    facts = [_counted(person.numbers, "number"), f"language {person.language or 'unknown'}"]
    if person.main_line:
        facts.append("found by the main line, without the extension")
    if person.hidden:
        facts.append("never shown (do_not_pop)")
    facts.append(f"details: {', '.join(person.details) or 'none'}")
    return f"kept       {person.person_id}: {'; '.join(facts)}"


def _counted(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"
