"""Endpoints with which administrators change the lists of texts in both languages.

A change takes effect at once, on open pages too.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import Final

from fastapi import APIRouter

from galwad.host.errors import ApiError
from galwad.people.access import Administrator
from galwad.texts.bodies import ListVersionBody, NewTextList, TextListView
from galwad.texts.lists import LIST_NAMES, TextEntry
from galwad.texts.rules import MOST_ENTRIES, ListName, TextFaultKind
from galwad.texts.subject import TheDesk
from galwad.texts.text_lists import ListChangedError, ListFaultError
from galwad.texts.views import view_of_list

router = APIRouter(tags=["texts"])
_FAULTS: Final[Mapping[TextFaultKind, tuple[str, str]]] = {
    "code": ("its `code` is not valid", "use 1 to 32 lower-case letters, digits, - and _"),
    "empty": ("a text is missing", "write it in English and in Welsh"),
    "too_long": ("a text is too long", "see `longest` of the list"),
    "control": ("it has a control character", "write each text in one line"),
    "same_code": ("another entry has the same `code`", "give each its own"),
    "same_text": ("another entry has the same text", "give each its own"),
    "too_many": ("the list is too long", f"send at most {MOST_ENTRIES} entries"),
    "codes_fixed": ("the codes of this list cannot be changed", "send each code of the list once"),
    "no_purpose": (
        "the list is empty, but the settings allow no other purposes",
        "keep one, or set free_text = true in [contact_notes]",
    ),
}
"""The error and the hint about each fault of a list."""


@router.get("/texts")
async def texts(desk: TheDesk, _: Administrator) -> list[TextListView]:
    """Return the lists of texts that people choose from or read, as they count now."""
    return [view_of_list(desk.texts.lists.get(name)) for name in LIST_NAMES]


@router.get("/texts/{name}")
async def text_list(name: ListName, desk: TheDesk, _: Administrator) -> TextListView:
    """Return one list of texts as it counts now."""
    return view_of_list(desk.texts.lists.get(name))


@router.put("/texts/{name}")
async def change_list(
    name: ListName, body: NewTextList, desk: TheDesk, session: Administrator
) -> TextListView:
    """Replace the entries of a list. From then on, this list counts and not that of the settings.

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
    return view_of_list(changed)


@router.delete("/texts/{name}")
async def reset_list(
    name: ListName, body: ListVersionBody, desk: TheDesk, session: Administrator
) -> TextListView:
    """Let the list of the settings count again, and return it.

    The change is entered in the audit chain before it takes effect.

    Raises:
        ApiError: 409, the list was changed meanwhile (the reason is `changed`).
    """
    with _refusals():
        initial = await desk.texts.lists.reset(
            name, based_on=body.version, actor=session.actor, user=session.user.name
        )
    return view_of_list(initial)


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
