"""The desk: the host, and the subjects in the sequence in which they know each other.

A subject gets the subjects that it needs. It registers its loops, the steps of its start and stop,
and what it hears with the host.
"""

from __future__ import annotations

from functools import partial

from argon2 import PasswordHasher

from galwad.api.app import create_app
from galwad.archive.subject import Archive
from galwad.calls.subject import Calls
from galwad.directories.subject import Directories, Sources
from galwad.events.subject import Events
from galwad.host import app
from galwad.host.app import DeskServer
from galwad.host.connections.protocol import PhaseLimits
from galwad.host.host import Host
from galwad.notes.subject import Notes
from galwad.page.subject import Page
from galwad.people.subject import People
from galwad.settings import Settings
from galwad.texts.subject import Texts


class Desk:
    """One desk process with all its parts."""

    def __init__(
        self,
        settings: Settings,
        sources: Sources = (),
        hasher: PasswordHasher | None = None,
    ) -> None:
        self.host = host = Host(settings)
        self.people = People(host, hasher)
        self.texts = Texts(host)
        self.directories = Directories(host, sources)
        self.calls = Calls(host, self.people, self.directories)
        self.archive = Archive(host, self.people, self.calls)
        self.notes = Notes(host, self.texts, self.directories, self.calls)
        self.events = Events(host, self.calls)
        self.page = Page(host, self.texts)


def server_of(desk: Desk, limits: PhaseLimits | None = None) -> DeskServer[Desk]:
    """Return the HTTP server of a desk, which also starts and stops the desk."""
    return DeskServer(desk, create_app(desk), limits)


def run(settings: Settings) -> int:
    """Run the desk until SIGTERM or SIGINT; return the process's exit status."""
    return app.run(partial(_served, settings))


def _served(settings: Settings) -> DeskServer[Desk]:
    return server_of(Desk(settings))
