"""Endpoints with which administrators change the lists of texts in both languages.

A change takes effect at once, on open pages too.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import Annotated, Final

from fastapi import APIRouter
from pydantic import BaseModel, Field, StringConstraints

from galwad.host.bodies import RequestBody, RequiredText, ShortText
from galwad.host.errors import ApiError
from galwad.people.access import Administrator
from galwad.texts.rules import (
    FIXED,
    LIST_NAMES,
    MOST_ENTRIES,
    RULES,
    ListName,
    TextEntry,
    TextFaultKind,
    TextList,
)
from galwad.texts.subject import TheDesk
from galwad.texts.text_lists import ListChangedError, ListFaultError

router = APIRouter(tags=["texts"])
_FAULTS: Final[Mapping[TextFaultKind, tuple[str, str]]] = {
    "code": ("its `code` is not valid", "use 1 to 32 lower-case letters, digits, - and _"),
    "empty": ("a text is missing", "write it in English and in Welsh"),
    "too_long": ("a text is too long", "see `longest` of the list"),
    "control": ("it has a control character", "write each text in one line"),
    "same_code": ("another entry has the same `code`", "give each entry its own code"),
    "same_text": ("another entry has the same text", "give each entry its own text"),
    "too_many": ("the list is too long", f"send at most {MOST_ENTRIES} entries"),
    "codes_fixed": ("the codes of this list cannot be changed", "send each code of the list once"),
    "no_purpose": (
        "the list is empty, but the settings allow no other purposes",
        "keep at least one purpose, or set free_text = true in [contact_notes]",
    ),
}
_SETTINGS: Final[Mapping[ListName, str]] = {
    "lines": "[[routes]] line, line_cy",
    "purposes": "[[contact_notes.purposes]]",
    "breaks": "[presence] break_reasons",
    "no_note_reasons": "",
    "teams": "",
}
"""The places of the lists in the settings file; "" for a list that is not in it."""
ListVersion = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{16}$")]
"""The version of a list, which changes when the list is changed or reset."""


class TextListView(BaseModel):
    """A list of texts that people choose from or read, as it is in force now.

    `settings` is the place of the first entries in the settings file. It is "" for
    `no_note_reasons`, whose first entries are a part of Galwad, and for `teams`, which has no first
    entries. `from_settings` is true while the first entries are in force. After a change by an
    administrator, `changed` is the time of the latest change, in Unix seconds, and `changed_by` the
    administrator. `fixed` is true if only the texts can be changed, and no entry can be added or
    removed. `longest` is the most characters that a text may have.
    """

    name: ListName
    version: str
    settings: str
    from_settings: bool
    changed: float | None
    changed_by: str
    fixed: bool
    longest: int
    entries: list[TextEntry]


class NewTextEntry(RequestBody):
    """An entry of a list that an administrator has written."""

    code: ShortText = ""
    en: RequiredText
    cy: ShortText = ""


class NewTextList(RequestBody):
    """A request to replace the entries of a list, based on the version that the client has read."""

    version: ListVersion
    entries: list[NewTextEntry] = Field(max_length=MOST_ENTRIES)


class ListVersionBody(RequestBody):
    """A request about a list, with the version that the client has read."""

    version: ListVersion


@router.get("/texts")
async def texts(desk: TheDesk, _: Administrator) -> list[TextListView]:
    """Return all lists of texts that people choose from or read, as they are in force now."""
    return [_view_of(desk.texts.lists.get(name)) for name in LIST_NAMES]


@router.get("/texts/{name}")
async def text_list(name: ListName, desk: TheDesk, _: Administrator) -> TextListView:
    """Return one list of texts as it is in force now."""
    return _view_of(desk.texts.lists.get(name))


@router.put("/texts/{name}")
async def change_list(
    name: ListName, body: NewTextList, desk: TheDesk, session: Administrator
) -> TextListView:
    """Replace the entries of a list. The new list also replaces that of the settings.

    The change is entered in the audit chain before it takes effect.

    Raises:
        ApiError: 409, the list was changed meanwhile (the reason is `changed`). 422, the list is
            not valid: `reason` says why, and `error` names the entry.
    """
    entries = tuple(map(TextEntry.of, body.entries))
    with _refusals():
        changed = await desk.texts.lists.change(
            name,
            entries,
            based_on=body.version,
            actor=session.actor,
            user=session.user.name,
        )
    return _view_of(changed)


@router.delete("/texts/{name}")
async def reset_list(
    name: ListName, body: ListVersionBody, desk: TheDesk, session: Administrator
) -> TextListView:
    """Put the first list, such as that of the settings, in force again, and return it.

    The change is entered in the audit chain before it takes effect.

    Raises:
        ApiError: 409, the list was changed meanwhile (the reason is `changed`).
    """
    with _refusals():
        initial = await desk.texts.lists.reset(
            name, based_on=body.version, actor=session.actor, user=session.user.name
        )
    return _view_of(initial)


@contextlib.contextmanager
def _refusals() -> Iterator[None]:
    try:
        yield
    except ListChangedError:
        raise ApiError(
            409,
            "the list was changed meanwhile",
            "read it again, then repeat your change",
            reason="changed",
        ) from None
    except ListFaultError as error:
        text, hint = _FAULTS[error.fault.kind]
        entry = f"entry {error.fault.number}: " if error.fault.number else ""
        raise ApiError(422, entry + text, hint, reason=error.fault.kind) from None


def _view_of(each: TextList) -> TextListView:
    return TextListView(
        name=each.name,
        version=each.version,
        settings=_SETTINGS[each.name],
        from_settings=not each.changed,
        changed=each.changed or None,
        changed_by=each.changed_by,
        fixed=each.name in FIXED,
        longest=RULES[each.name].longest,
        entries=list(each.entries),
    )
