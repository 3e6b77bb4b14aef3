"""Request and answer bodies for reading and searching the audit."""

from __future__ import annotations

from typing import Final

from pydantic import BaseModel, Field

from galwad.desk.models.base import RequestBody, ShortText

MAX_ENTRY_NUMBER: Final = 2**31 - 1
"""The largest number that an audit entry can have in the database."""


class AuditQuery(RequestBody):
    """A search for audit entries; an entry is found if it matches all filters that are given.

    The newest entries are returned first. `actor` is a user's name, or the complete actor in an
    entry, such as `os:root`. If `before` is given, only entries with a lower number are returned.
    """

    kind: ShortText | None = None
    call_id: ShortText | None = None
    actor: ShortText | None = None
    when: ShortText | None = None
    before: int | None = Field(default=None, ge=1, le=MAX_ENTRY_NUMBER)
    limit: int = Field(default=50, ge=1, le=1000)


class AuditPage(BaseModel):
    """A page of audit entries; `last` is the number of the last entry on the page.

    Each line is one entry in the form of an audit export (`recording.audit.chain.ChainEntry`).
    `contradicting` has the numbers of entries whose own text states another number, time or kind
    than the database columns do. A search leaves `contradicting` empty.
    """

    lines: list[str]
    last: int
    contradicting: list[int] = []


class AuditHead(BaseModel):
    """The present head of the audit chain, as a line for a file of anchors.

    `earlier` is the hash of the earlier entry that the request named; None if no such entry exists.
    """

    anchor: str
    earlier: str | None
