"""Notes that are not saved yet, and the rule by which drafts become a note."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace

from callerid.note import Note, NotedCall


@dataclass(frozen=True)
class OpenNote(NotedCall):
    """An answered call whose contact note is not written yet, or has a draft that is not saved.

    `number` is the caller's number in E.164 or an internal extension; "" if it is withheld, not
    known or no longer kept. `person_id` and `name` are the person whom the advisor has confirmed;
    "" if there is none. `ended` is the time at which the wrap-up began, in seconds since 1970; 0 if
    it has not begun, or the time is not known.
    """

    extension: str
    number: str = ""
    withheld: bool = False
    person_id: str = ""
    name: str = ""
    ended: float = 0.0


@dataclass(frozen=True, slots=True)
class NoteDraft:
    """A contact note that a user has typed and not saved. Its note may lack any field."""

    call_id: str
    author: str
    """The name of the user who typed the draft."""
    window: str
    """A random name of the browser window in which the draft was typed last."""
    edit: int
    """The number of the save in this window. An earlier save never replaces a later one."""
    note: Note
    version: int = 0
    """Increases with each change of the draft. 0 means that there is no draft."""
    saved: float = 0.0
    """The time at which the draft was saved, in seconds since 1970."""


def unfinished_note(advisor: str, found: Collection[NoteDraft]) -> Note | None:
    """Return the note to store if no user saved it in time; None if no draft has a text.

    The fields are from the advisor's draft, or from the newest draft if the advisor has none. The
    field `notes` ends with the texts of the other drafts, each after the name of its author.
    """
    written = sorted(
        (draft for draft in found if draft.note.texts),
        key=lambda draft: (draft.author != advisor, -draft.saved),
    )
    if not written:
        return None
    first, *others = written
    more = tuple(f"{draft.author}: {'; '.join(draft.note.texts)}" for draft in others)
    return replace(first.note.with_more(more), unfinished=True)
