"""Request and response bodies for reading and searching the audit chain."""

from __future__ import annotations

from typing import Final

from pydantic import BaseModel, Field

from galwad.host.bodies import RequestBody, ShortText

MAX_ENTRY_NUMBER: Final = 2**31 - 1
"""The highest number that an audit entry can have in the database."""


class AuditQuery(RequestBody):
    """A search for audit entries. Each entry in the result matches all given filters.

    The newest entries are returned first. `actor` is a user's name, such as `anna`, or an actor
    exactly as it is written in entries, such as `os:root`. If `before` is given, only entries with
    a number below `before` are returned.
    """

    kind: ShortText | None = None
    call_id: ShortText | None = None
    actor: ShortText | None = None
    when: ShortText | None = None
    before: int | None = Field(default=None, ge=1, le=MAX_ENTRY_NUMBER)
    limit: int = Field(default=50, ge=1, le=1000)


class AuditPage(BaseModel):
    """A page of audit entries: the response to a search, or to a request for the chain.

    Each item of `lines` is one entry in the form of an audit export (see
    `recording.audit.chain.ChainEntry`). `last` is the number of the last entry in `lines`. If
    `lines` is empty, the response to a search has 0 as `last`, and the response to a request for
    the chain has the request's `after`.

    The database also has columns with the number, time and kind of each entry. `contradicting` has
    the numbers of the entries whose columns differ from the entry's text. In the response to a
    search, it is always empty.
    """

    lines: list[str]
    last: int
    contradicting: list[int] = []


class AuditHead(BaseModel):
    """The present head of the audit chain, in the form of one line of an anchor file.

    An anchor is a head that is stored outside the server. `earlier` is the hash of the entry whose
    number the request gave as `seq`; None if there is no such entry.
    """

    anchor: str
    earlier: str | None
