"""Bodies for reading and searching the audit."""

from __future__ import annotations

from typing import Final

from pydantic import BaseModel, Field

from galwad.desk.models.base import RequestBody, ShortText

MAX_ENTRY_NUMBER: Final = 2**31 - 1
"""The highest number that an audit entry can have in the database."""


class AuditQuery(RequestBody):
    """The filters for audit entries, the newest first; an entry must match all that are given.

    `actor` is a user's name, or an actor as in an entry, such as `os:root`. `before` is the number
    of an entry.
    """

    kind: ShortText | None = None
    call_id: ShortText | None = None
    actor: ShortText | None = None
    when: ShortText | None = None
    before: int | None = Field(default=None, ge=1, le=MAX_ENTRY_NUMBER)
    limit: int = Field(default=50, ge=1, le=1000)


class AuditPage(BaseModel):
    """Entries as lines of an export (`recording.audit.chain.ChainEntry`), up to number `last`.

    `contradicting` lists the entries that the database holds under another number, time or kind
    than they state themselves. A search does not find them.
    """

    lines: list[str]
    last: int
    contradicting: list[int] = []


class AuditHead(BaseModel):
    """A line for a file of anchors; `earlier` is the hash of the entry that was asked for."""

    anchor: str
    earlier: str | None
