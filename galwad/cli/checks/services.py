"""Checks of the services in the settings: directories, the receiver of events, the sign-in.

Only `check_directory_answers` sends requests.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Final

from callerid.directories import ExternalDirectory
from callerid.errors import CallerIdError
from callerid.number import PhoneNumber
from callerid.written_numbers import matching
from galwad.cli.checks import CheckResult, fault, fine, warning
from galwad.cli.checks.files import SectionT, files_of, unreadable, with_stored_files
from galwad.settings import Settings
from galwad.settings.desk import SignInSection, WebhookSection
from net.errors import ServerBusyError, ServerError

_NAME: Final = "directories"
_TO_STORE: Final = (
    "put the file there, and restart galwad-desk; a file in /etc/credstore must be readable only "
    "for root"
)
_NOBODY: Final = PhoneNumber("+441632960999")
"""A number that Ofcom reserves for fiction, so it is no person's."""
_REMEDIES: Final = (
    ("401", "correct the user, the client id or the secret"),
    ("no token", "correct the client id, the secret or the scope"),
    ("403", "give Galwad's account the right to read people"),
    ("certificate", "set the clock, or name the authority's certificate in `tls`"),
    ("connect", "correct the address, or let the desk's unit and the firewall connect to it"),
    ("in time", "correct the address, or look at the server: `galwad directory test` shows more"),
)
_OTHERWISE: Final = "correct the settings in [[directories]]: `galwad directory test` shows more"


def check_directories(settings: Settings) -> Iterator[CheckResult]:
    """Check that each directory's files can be read and its settings can be used."""
    if not settings.directories:
        return

    for section in map(with_stored_files, settings.directories):
        problems = [
            f"{path} {problem}" for path in files_of(section) if (problem := unreadable(path))
        ]
        for problem in problems:
            yield fault(_NAME, f"{section.name}: {problem}", _TO_STORE)
        if problems:
            continue
        try:
            section.open()
            section.open_notes()
        except (CallerIdError, ServerError) as error:
            yield fault(
                _NAME, f"{section.name}: {error}", "correct the settings in [[directories]]"
            )
        else:
            yield fine(_NAME, f"{section.name}: its settings and files can be used")


def check_directory_answers(settings: Settings) -> Iterator[CheckResult]:
    """Ask each directory that can be opened for the number `_NOBODY`, and check that it answers.

    Yield a warning if the answer has people who do not have this number.
    """
    for section in map(with_stored_files, settings.directories):
        try:
            others = asyncio.run(_ask(section))
        except _UnopenedError:
            continue  # another check says why
        except ServerBusyError as error:
            yield warning(_NAME, f"{section.name}: {error}", "lower `concurrency`, or wait")
        except (CallerIdError, ServerError) as error:
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
                    "was sought; with more than 500 people, it finds no one",
                    "its answer ignores the number: correct the request, or look the callers up in "
                    "a view of its database (docs/crm.md)",
                )
            else:
                yield fine(_NAME, f"{section.name}: it answers")


class _UnopenedError(Exception):
    """The directory cannot be opened."""


async def _ask(section: ExternalDirectory) -> int:
    """Ask a directory for `_NOBODY`; return how many people it finds who lack this number."""
    try:
        directory = section.open()
    except (CallerIdError, ServerError):
        raise _UnopenedError from None
    try:
        async with asyncio.timeout(section.timeout):
            found = await directory.find(_NOBODY)
    finally:
        await directory.close()
    return len(found) - len(matching(found, _NOBODY))


def _remedy(error: str) -> str:
    return next((remedy for sign, remedy in _REMEDIES if sign in error), _OTHERWISE)


def _check_files(
    name: str, table: str, section: SectionT, use: Callable[[SectionT], object], usable: str
) -> Iterator[CheckResult]:
    """Check that each file that the table `section` of the settings names can be read and used.

    `use` reads the files of the section, and raises `ServerError` if one cannot be used. It sends
    no request. `usable` is the text of the result if all files can be used.
    """
    present = with_stored_files(section)
    problems = [f"{path} {problem}" for path in files_of(present) if (problem := unreadable(path))]
    for problem in problems:
        yield fault(name, problem, _TO_STORE)
    if problems:
        return
    try:
        use(present)
    except ServerError as error:
        yield fault(name, str(error), f"correct the file, or the settings in [{table}]")
    else:
        yield fine(name, usable)


def check_webhook(settings: Settings) -> Iterator[CheckResult]:
    """Check that each file that [webhook] names can be read and used."""
    if settings.webhook is not None:
        usable = "the settings and files of the receiver of call events can be used"
        yield from _check_files("webhook", "webhook", settings.webhook, _read_webhook_files, usable)


def _read_webhook_files(section: WebhookSection) -> None:
    # This import loads the HTTP client.
    from galwad.events.receiver import check_files  # noqa: PLC0415

    check_files(section)


def check_sign_in(settings: Settings) -> Iterator[CheckResult]:
    """Check that each file that [sign_in] names can be read and used."""
    if settings.sign_in is not None:
        usable = "the settings and files of the sign-in at the provider can be used"
        yield from _check_files("sign-in", "sign_in", settings.sign_in, _read_sign_in_files, usable)


def _read_sign_in_files(section: SignInSection) -> None:
    # This import loads the HTTP client.
    from net.authentication import read_secret  # noqa: PLC0415

    read_secret(section.secret_file)
    section.tls.context()
