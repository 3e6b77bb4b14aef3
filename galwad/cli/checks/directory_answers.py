"""Checks that each directory in the settings answers: credentials, certificate, columns, time.

The directories are asked for a number that Ofcom reserves for fiction, so no person is sought.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Final

from callerid.directories import ExternalDirectory
from callerid.errors import CallerIdError, SourceBusyError
from callerid.matching import matching
from callerid.number import PhoneNumber
from galwad.cli.checks.credentials import stored_directory
from galwad.cli.checks.result import CheckResult, fault, fine, warning
from galwad.settings import Settings

_NAME: Final = "directories"
_NOBODY: Final = PhoneNumber("+441632960999")
_REMEDIES: Final = (
    ("401", "correct the user, the client id or the secret"),
    ("no token", "correct the client id, the secret or the scope"),
    ("403", "give Galwad's account the right to read people"),
    ("certificate", "set the clock, or name the authority's certificate in `tls`"),
    ("connect", "correct the address, or let the desk's unit and the firewall connect to it"),
    ("in time", "correct the address, or look at the server: `galwad directory test` shows more"),
)
_OTHERWISE: Final = "correct the settings in [[directories]]: `galwad directory test` shows more"


def check(settings: Settings) -> Iterator[CheckResult]:
    """Ask each directory that can be opened for a number, and check that it answers."""
    for section in map(stored_directory, settings.directories):
        try:
            others = asyncio.run(_ask(section))
        except _UnopenedError:
            continue  # another check says why
        except SourceBusyError as error:
            yield warning(_NAME, f"{section.name}: {error}", "lower `concurrency`, or wait")
        except CallerIdError as error:
            yield fault(_NAME, f"{section.name}: {error}", _remedy(str(error)))
        except TimeoutError:
            text = f"{section.name}: no answer within {section.timeout:g} s"
            yield fault(_NAME, text, _remedy("in time"))
        except Exception as error:  # noqa: BLE001 - a fault of a directory must not end the checks
            yield fault(_NAME, f"{section.name}: {type(error).__name__}", _OTHERWISE)
        else:
            if others:
                yield warning(
                    _NAME,
                    f"{section.name}: it returns {others} people who do not have the number that "
                    "was sought; with more than 500 people, it finds nobody",
                    "it ignores the condition: correct the request, or look the callers up in a "
                    "view of its database (docs/crm.md)",
                )
            else:
                yield fine(_NAME, f"{section.name}: it answers")


class _UnopenedError(Exception):
    """The directory cannot be opened."""


async def _ask(section: ExternalDirectory) -> int:
    """Return how many people the directory finds who do not have the number."""
    try:
        directory = section.open()
    except CallerIdError:
        raise _UnopenedError from None
    try:
        async with asyncio.timeout(section.timeout):
            found = await directory.find(_NOBODY)
    finally:
        await directory.close()
    return len(found) - len(matching(found, _NOBODY))


def _remedy(error: str) -> str:
    return next((remedy for sign, remedy in _REMEDIES if sign in error), _OTHERWISE)
