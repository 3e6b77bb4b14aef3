"""The desk process: one host, and the subjects, such as calls and people.

`Desk` creates the subjects one after another. Each subject gets the host and the earlier subjects
that it needs. It registers its loops, its steps at start and stop, and its event handlers with the
host.
"""

from __future__ import annotations

from functools import partial

from argon2 import PasswordHasher

from galwad.api.app import create_app
from galwad.archive.subject import ArchiveSubject
from galwad.calls.subject import CallsSubject
from galwad.cases.subject import CasesSubject
from galwad.directories.subject import DirectoriesSubject, Sources
from galwad.events.subject import EventsSubject
from galwad.host import app
from galwad.host.app import DeskServer
from galwad.host.connections.protocol import PhaseLimits
from galwad.host.host import Host
from galwad.notes.subject import NotesSubject
from galwad.page.subject import PageSubject
from galwad.people.subject import PeopleSubject
from galwad.settings import Settings
from galwad.texts.subject import TextsSubject


class Desk:
    """One desk process with all its parts."""

    def __init__(
        self,
        settings: Settings,
        sources: Sources = (),
        hasher: PasswordHasher | None = None,
    ) -> None:
        self.host = host = Host(settings)
        self.people = PeopleSubject(host, hasher)
        self.texts = TextsSubject(host)
        self.directories = DirectoriesSubject(host, sources)
        self.calls = CallsSubject(host, self.people, self.directories)
        self.archive = ArchiveSubject(host, self.people, self.texts, self.calls)
        self.notes = NotesSubject(host, self.texts, self.directories, self.calls)
        self.cases = CasesSubject(host, self.directories, self.calls, self.archive, self.notes)
        self.events = EventsSubject(host, self.calls)
        self.page = PageSubject(host, self.texts)


def server_of(desk: Desk, limits: PhaseLimits | None = None) -> DeskServer[Desk]:
    """Return the HTTP server of a desk, which also starts and stops the desk."""
    return DeskServer(desk, create_app(desk), limits)


def run(settings: Settings) -> int:
    """Run the desk until SIGTERM or SIGINT; return the process's exit status."""
    return app.run(partial(_served, settings))


def _served(settings: Settings) -> DeskServer[Desk]:
    return server_of(Desk(settings))
