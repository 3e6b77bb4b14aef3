"""`DirectoriesSubject`: the lookup of callers in the directories of people.

This module also opens the directory that receives contact notes. The desk starts even if the
settings of a directory cannot be used, for example because a certificate is missing. Each search in
this directory, and each delivery of a note to it, then fails with the reason.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import tzinfo
from functools import partial
from typing import Annotated, NoReturn, Protocol

import structlog
from fastapi import Depends
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from callerid.directories import ExternalDirectory
from callerid.directories.embedded import LIMITS, EmbeddedDirectory
from callerid.errors import CallerIdError
from callerid.limited_source import LimitedSource, Observation, SourceLimits
from callerid.lookup import Lookup
from callerid.note import EarlierDelivery, NoteDestination, OutgoingNote
from callerid.number import PhoneNumber
from callerid.person import RecordPage
from callerid.source import DirectorySource
from galwad.host.host import Host, desk_of
from galwad.people.subject import PeopleDesk
from galwad.settings import Settings
from net.breaker import BreakerState
from net.errors import ServerError

log = structlog.get_logger()
Sources = Sequence[tuple[DirectorySource, SourceLimits]]


class DirectoryMetrics:
    """The metrics of searches in directories."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._searches = Counter(
            "galwad_desk_directory_searches",
            "Searches in directories by their outcome",
            ["directory", "outcome", "from_memory"],
            registry=registry,
        )
        self._search_seconds = Histogram(
            "galwad_desk_directory_request_seconds",
            "Time of the requests to directories",
            ["directory"],
            buckets=(0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0),
            registry=registry,
        )
        self._resting = Gauge(
            "galwad_desk_directory_resting",
            "1 while a directory gets no requests, because it failed or asked for that",
            ["directory"],
            registry=registry,
        )

    def watch(self, directory: LimitedSource) -> None:
        """Let the metrics show whether this directory gets no requests now."""
        self._resting.labels(directory.name).set_function(partial(_is_resting, directory))

    def searched(self, search: Observation) -> None:
        """Count a search in a directory, and add the time of its request."""
        from_memory = "yes" if search.cached else "no"
        self._searches.labels(search.source, search.state.value, from_memory).inc()
        if search.seconds:
            self._search_seconds.labels(search.source).observe(search.seconds)


class DirectoriesSubject:
    """The lookup in `sources`, or by default in the embedded directory and [[directories]]."""

    def __init__(self, host: Host, sources: Sources = ()) -> None:
        section = host.settings.directory
        self._metrics = DirectoryMetrics(host.metrics.registry)
        limited = [
            LimitedSource(source, limits, area_code=section.area_code, observe=self._searched)
            for source, limits in sources or _of_settings(host.settings)
        ]
        for each in limited:
            self._metrics.watch(each)
        self.lookup = Lookup(limited, section.budget, section.merge_by)
        host.after_stop(self.lookup.close)

    def _searched(self, search: Observation) -> None:
        self._metrics.searched(search)
        if search.reason:
            log.warning(
                "lookup.source_failed",
                source=search.source,
                state=search.state.value,
                reason=search.reason,
                ms=round(search.seconds * 1000),
            )


def _of_settings(settings: Settings) -> Sources:
    embedded = EmbeddedDirectory(settings.directory_file)
    return [(embedded, LIMITS), *open_directories(settings.directories)]


def _is_resting(directory: LimitedSource) -> float:
    return float(directory.breaker_state in {BreakerState.OPEN, BreakerState.BUSY})


def open_directories(sections: Iterable[ExternalDirectory]) -> Sources:
    """Return the directories of these settings, with the limits for their requests."""
    return [(_opened_or_unusable(section), section.limits) for section in sections]


def record_pages(sections: Iterable[ExternalDirectory]) -> list[RecordPage]:
    """Return the addresses of record pages in these directories; some directories have none."""
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
        except (CallerIdError, ServerError) as error:
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
        """Raise a ServerError with the reason."""
        del note, earlier
        raise ServerError(self._reason)

    async def close(self) -> None:
        """Do nothing."""


class UnusableDirectory:
    """A directory whose settings cannot be used. Each search fails with the reason."""

    def __init__(self, name: str, reason: str, *, has_extensions: bool) -> None:
        self.name = name
        self.has_extensions = has_extensions
        self._reason = reason

    async def find(self, number: PhoneNumber) -> NoReturn:
        """Raise a ServerError with the reason."""
        del number
        raise ServerError(self._reason)

    async def close(self) -> None:
        """Do nothing."""


def _opened_or_unusable(section: ExternalDirectory) -> DirectorySource:
    try:
        return section.open()
    except (CallerIdError, ServerError) as error:
        log.warning("directory.unusable", directory=section.name, reason=str(error))
        return UnusableDirectory(section.name, str(error), has_extensions=section.extensions)


class DirectoriesDesk(PeopleDesk, Protocol):
    """The parts of the desk that endpoints about directories use."""

    directories: DirectoriesSubject


TheDesk = Annotated[DirectoriesDesk, Depends(desk_of)]
