"""The files with certificates, keys and passwords that systemd passes to one unit only."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from callerid.errors import SourceError
from config.section import Section
from galwad.cli.checks.result import CheckResult, fault, fine

if TYPE_CHECKING:
    from callerid.directories import ExternalDirectory

_CREDENTIALS = Path("/run/credentials")
_STORE = Path("/etc/credstore")
_TO_STORE = f"put it into {_STORE}, readable only for root, and restart galwad-desk"
SectionT = TypeVar("SectionT", bound=Section)


def stored(path: Path) -> Path:
    """Return the path from which this process can read a certificate, key or password.

    `path` is the file's path in the settings. A file in /run/credentials is systemd's copy of a
    file in /etc/credstore, and only one unit can read this copy. If this process has no such copy,
    return the path in /etc/credstore. In all other cases, return `path`.
    """
    if path.exists() or not path.is_relative_to(_CREDENTIALS):
        return path
    return _STORE / path.name


def unreadable(path: Path) -> str:
    """Return why the file cannot be read, as the end of a sentence, or "" if it can be read."""
    try:
        path.read_bytes()
    except FileNotFoundError:
        return "does not exist"
    except OSError as error:
        return f"cannot be read ({(error.strerror or 'refused').lower()})"
    return ""


def stored_directory(section: ExternalDirectory) -> ExternalDirectory:
    """Return the settings of a directory with the paths from which this process can read its files.

    See `stored`. The files are the certificates, the key and the secret.
    """
    return with_stored_files(section)


def files_of(section: Section) -> Iterator[Path]:
    """Yield the files that the settings of a table name, with those of the tables in it."""
    for name in type(section).model_fields:
        value = getattr(section, name)
        if isinstance(value, Path):
            yield value
        elif isinstance(value, Section):
            yield from files_of(value)


def with_stored_files(section: SectionT) -> SectionT:
    """Return the settings of a table with the paths from which this process can read its files."""
    changed: dict[str, object] = {}
    for name in type(section).model_fields:
        value = getattr(section, name)
        if isinstance(value, Path):
            changed[name] = stored(value)
        elif isinstance(value, Section):
            changed[name] = with_stored_files(value)
    return section.model_copy(update=changed)


def check_files(
    name: str, table: str, section: SectionT, use: Callable[[SectionT], object], usable: str
) -> Iterator[CheckResult]:
    """Check that each file of a table of the settings can be read and is what the setting needs.

    `use` reads the files of the desk's section that it gets, and raises `SourceError` if one cannot
    be used; it sends no request. `usable` is the text of the result if all can be used.
    """
    present = with_stored_files(section)
    problems = [f"{path} {problem}" for path in files_of(present) if (problem := unreadable(path))]
    for problem in problems:
        yield fault(name, problem, _TO_STORE)
    if problems:
        return
    try:
        use(present)
    except SourceError as error:
        yield fault(name, str(error), f"correct the file, or the settings in [{table}]")
    else:
        yield fine(name, usable)
