"""`TextsSubject`: the lists of texts that people choose from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Protocol

from fastapi import Depends

from galwad.host.host import Host, desk_of
from galwad.people.subject import PeopleDesk
from galwad.texts.store import TextStore
from galwad.texts.text_lists import TextLists, initial_lists


@dataclass(frozen=True, slots=True)
class TextsChanged:
    """A list of texts has changed."""


class TextsSubject:
    """The lists of texts of one desk."""

    def __init__(self, host: Host) -> None:
        settings = host.settings
        self.lists = TextLists(
            TextStore(host.engine),
            initial_lists(settings.routes, settings.contact_notes, settings.presence),
            host.audit.append,
            lambda: host.publish(TextsChanged()),
            free_text=settings.contact_notes.free_text,
        )
        host.on_start(self.lists.start)


class TextsDesk(PeopleDesk, Protocol):
    """The parts of the desk that endpoints about texts use."""

    texts: TextsSubject


TheDesk = Annotated[TextsDesk, Depends(desk_of)]
