"""Opens the directories that the settings name, such as a CRM.

A directory whose settings cannot be used, for example because a certificate is missing, does not
keep the desk from starting. Each search in it fails with the reason, and `galwad check` shows it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import tzinfo
from typing import NoReturn

import structlog

from callerid.directories import ExternalDirectory
from callerid.errors import CallerIdError, SourceError
from callerid.limited_source import SourceLimits
from callerid.note import EarlierDelivery, NoteDestination, OutgoingNote
from callerid.number import PhoneNumber
from callerid.person import RecordPage
from callerid.source import DirectorySource

log = structlog.get_logger()


def open_directories(
    sections: Iterable[ExternalDirectory],
) -> Sequence[tuple[DirectorySource, SourceLimits]]:
    """Return the directories of these settings, with the limits for their requests."""
    return [(_opened_or_unusable(section), section.limits) for section in sections]


def record_pages(sections: Iterable[ExternalDirectory]) -> list[RecordPage]:
    """Return the pages that these directories have about their people."""
    return [
        RecordPage(section.name, section.page, section.page_before_confirmation)
        for section in sections
        if section.page is not None
    ]


def open_note_destination(
    sections: Iterable[ExternalDirectory], zone: tzinfo | None = None
) -> NoteDestination | None:
    """Return the system to which contact notes are delivered; None if the settings name none.

    `zone` is the time zone of dates in the notes; with None, it is the time zone of this machine.
    """
    for section in sections:
        try:
            destination = section.open_notes(zone)
        except CallerIdError as error:
            log.warning("note.destination_unusable", directory=section.name, reason=str(error))
            return UnusableNotes(section.name, str(error))
        if destination is not None:
            return destination
    return None


class UnusableNotes:
    """A destination of notes whose settings cannot be used. Each note waits, with the reason."""

    def __init__(self, name: str, reason: str) -> None:
        self.name = name
        self._reason = reason

    async def deliver(self, note: OutgoingNote, earlier: EarlierDelivery) -> NoReturn:
        """Raise a SourceError with the reason."""
        del note, earlier
        raise SourceError(self._reason)

    async def close(self) -> None:
        """Do nothing."""


class UnusableDirectory:
    """A directory whose settings cannot be used. Each search fails with the reason."""

    def __init__(self, name: str, reason: str, *, has_extensions: bool) -> None:
        self.name = name
        self.has_extensions = has_extensions
        self._reason = reason

    async def find(self, number: PhoneNumber) -> NoReturn:
        """Raise a SourceError with the reason."""
        del number
        raise SourceError(self._reason)

    async def close(self) -> None:
        """Do nothing."""


def _opened_or_unusable(section: ExternalDirectory) -> DirectorySource:
    try:
        return section.open()
    except CallerIdError as error:
        log.warning("directory.unusable", directory=section.name, reason=str(error))
        return UnusableDirectory(section.name, str(error), has_extensions=section.extensions)
