"""The lists of texts as the settings and Galwad itself have them."""

from __future__ import annotations

import json
from collections.abc import Iterable
from functools import cache
from importlib.resources import files
from typing import get_args

from galwad.settings.calls import PresenceSection
from galwad.settings.notes import ContactNotesSection
from galwad.settings.switch import Route
from galwad.texts.lists import Entries, TextEntry
from galwad.texts.rules import ListName, NoNoteReason


def initial_lists(
    routes: Iterable[Route], notes: ContactNotesSection, presence: PresenceSection
) -> dict[ListName, Entries]:
    """Return the lists of the settings and Galwad's own reasons for no note; no teams."""
    return {
        "lines": _lines(routes),
        "purposes": tuple(map(TextEntry.of, notes.purposes)),
        "breaks": tuple(map(TextEntry.of, presence.break_reasons)),
        "no_note_reasons": _no_note_reasons(),
        "teams": (),
    }


def _lines(routes: Iterable[Route]) -> Entries:
    """Return the name of each line once, though several routes may have it."""
    welsh: dict[str, str] = {}
    for route in routes:
        if route.line:
            welsh[route.line] = route.line_cy or welsh.get(route.line, "")
    return tuple(TextEntry(line, line, name) for line, name in welsh.items())


@cache
def _no_note_reasons() -> Entries:
    english, welsh = _page_texts("en"), _page_texts("cy")
    return tuple(
        TextEntry(reason, english[f"no_note_reason.{reason}"], welsh[f"no_note_reason.{reason}"])
        for reason in get_args(NoNoteReason)
    )


def _page_texts(language: str) -> dict[str, str]:
    file = files("galwad.page") / "locale" / f"{language}.json"
    found: dict[str, str] = json.loads(file.read_bytes())
    return found
