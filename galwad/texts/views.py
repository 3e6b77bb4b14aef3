"""The lists of texts as the API and the pages' streams show them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from galwad.texts.bodies import LineName, PageTexts, PurposeView, TextEntryView, TextListView
from galwad.texts.lists import FIXED, RULES, TextEntry, TextList
from galwad.texts.rules import ListName
from galwad.texts.text_lists import TextLists

_SETTINGS: Final[Mapping[ListName, str]] = {
    "lines": "[[routes]] line, line_cy",
    "purposes": "[[contact_notes.purposes]]",
    "breaks": "[presence] break_reasons",
    "no_note_reasons": "",
    "teams": "",
}
"""The places of the lists in the settings file."""


def view_of_list(each: TextList) -> TextListView:
    """Return a list as an administrator sees it."""
    return TextListView(
        name=each.name,
        version=each.version,
        settings=_SETTINGS[each.name],
        from_settings=not each.changed,
        changed=each.changed or None,
        changed_by=each.changed_by,
        fixed=each.name in FIXED,
        longest=RULES[each.name].longest,
        entries=_entries(each.entries),
    )


def page_texts(lists: TextLists) -> PageTexts:
    """Return the lists as the pages need them."""
    breaks, words = lists.get("breaks"), lists.get("no_note_reasons")
    present = {each.code for each in breaks.entries}
    return PageTexts(
        line_names={
            each.code: LineName(en=each.en, cy=each.cy)
            for each in lists.get("lines").entries
            if each.cy or each.en != each.code
        },
        break_reasons=_entries(breaks.entries),
        former_reasons=_entries(each for each in breaks.former if each.code not in present),
        no_note_reasons=_entries(words.entries if words.changed else ()),
        purposes=purposes_of(lists),
        free_text=lists.free_text,
        teams=_entries(lists.get("teams").entries),
    )


def purposes_of(lists: TextLists) -> list[PurposeView]:
    """Return the purposes that advisors can choose, without the codes of the CRM."""
    return [PurposeView(en=each.en, cy=each.cy) for each in lists.get("purposes").entries]


def _entries(entries: Iterable[TextEntry]) -> list[TextEntryView]:
    return [TextEntryView(code=each.code, en=each.en, cy=each.cy) for each in entries]
