"""A system to which contact notes are delivered over HTTP, as templates in the settings say.

If the result of an earlier attempt is not known, the system is searched for the note before it is
written again. A system that itself ignores a repeated request needs no search.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from jmespath.parser import ParsedResult

from callerid.errors import NoteRefusedError, SourceError, StatusError
from callerid.json_client import HttpAnswer, JsonClient, JsonRequest, parse_json
from callerid.note_destination import EarlierDelivery, OutgoingNote
from callerid.note_templates import AddressTemplate, NoteTemplate, note_values, version_id
from callerid.people_mapping import apply, text_of_value
from callerid.templates import Json, query_of

_REFUSED: Final = frozenset({400, 406, 409, 410, 411, 412, 413, 414, 415, 422})
"""The status codes after which another attempt would have the same result."""
_DELETED: Final = frozenset({404, 410})
_LONGEST_ID: Final = 200


@dataclass(frozen=True, slots=True)
class NoteRequest:
    """The form of a request that writes a note."""

    method: str
    url: AddressTemplate
    body: NoteTemplate
    headers: Mapping[str, str] = field(default_factory=dict)

    def fill(self, values: Mapping[str, str]) -> JsonRequest:
        """Return the request with these values."""
        headers = {"Idempotency-Key": values["version_id"], **self.headers}
        body = self.body.fill(values)
        url = self.url.fill(values)
        return JsonRequest(self.method, url, (), headers, body)


@dataclass(frozen=True, slots=True)
class NoteSearch:
    """The form of a request that searches for a note, and of its answer."""

    method: str
    url: AddressTemplate
    records: ParsedResult
    """The list of records in the answer. The following expressions are applied to each of them."""
    record_id: ParsedResult
    text: ParsedResult
    """The text that contains the call id, or the id of the version."""
    query: Mapping[str, NoteTemplate] = field(default_factory=dict)
    body: NoteTemplate | None = None
    headers: Mapping[str, str] = field(default_factory=dict)

    def fill(self, values: Mapping[str, str]) -> JsonRequest:
        """Return the request with these values."""
        query = query_of({name: each.fill(values) for name, each in self.query.items()})
        body = None if self.body is None else self.body.fill(values)
        return JsonRequest(self.method, self.url.fill(values), query, self.headers, body)

    def read(self, document: Json, sought: str) -> str | None:
        """Return the id of the record whose text contains `sought`; None if there is none.

        Raises:
            SourceError: The answer does not have a list of records where the expression points.
        """
        if document is None:
            return None
        records = apply(self.records, document)
        if not isinstance(records, list):
            raise SourceError('the answer has no list where "records" points')
        for record in records:
            if sought in text_of_value(apply(self.text, record)):
                return text_of_value(apply(self.record_id, record))
        return None


@dataclass(frozen=True, slots=True)
class NoteTemplates:
    """The requests that write a note.

    `change` is None if later versions are written with `create`, to the same address.
    """

    create: NoteRequest
    record_id: ParsedResult | None = None
    """The id of the new record in the answer to `create`; None if the answer is not read."""
    find: NoteSearch | None = None
    """The search for the record of the note; None if a repeated `create` does no harm."""
    change: NoteRequest | None = None
    find_change: NoteSearch | None = None
    """The search for a later version; None if a repeated `change` does no harm."""


class HttpNotes:
    """A system to which contact notes are delivered over HTTP. `client` sends the requests."""

    def __init__(self, name: str, templates: NoteTemplates, client: JsonClient) -> None:
        self.name = name
        self._templates = templates
        self._client = client

    async def deliver(self, note: OutgoingNote, earlier: EarlierDelivery) -> str:
        """Write a version of a note, and return the id of its record.

        Raises:
            NoteRefusedError: The server does not accept the note, or has no record of it any more.
            SourceBusyError: The server asks for a rest.
            SourceError: The server cannot be reached, or its answer cannot be read.
        """
        if earlier.version == 0:
            return await self._create(note, repeated=earlier.uncertain)
        return await self._change(note, earlier)

    async def close(self) -> None:
        """Close the connections to the server."""
        await self._client.close()

    async def _create(self, note: OutgoingNote, *, repeated: bool) -> str:
        templates, values = self._templates, note_values(note)
        if repeated and templates.find is not None:
            found = await self._find(templates.find, values, note.call_id)
            if found is not None:
                return found
        answer = await self._send(templates.create.fill(values))
        if templates.record_id is None:
            return ""
        record_id = text_of_value(apply(templates.record_id, parse_json(answer.body)))
        if not record_id.strip(".") or len(record_id) > _LONGEST_ID:
            raise SourceError('the answer has no id where "record_id" points')
        return record_id

    async def _change(self, note: OutgoingNote, earlier: EarlierDelivery) -> str:
        templates, values = self._templates, note_values(note, earlier.record_id)
        if earlier.uncertain and templates.find_change is not None:
            found = await self._find(templates.find_change, values, version_id(note))
            if found is not None:
                return earlier.record_id
        await self._send((templates.change or templates.create).fill(values), deleted=_DELETED)
        return earlier.record_id

    async def _find(self, search: NoteSearch, values: Mapping[str, str], sought: str) -> str | None:
        try:
            document = await self._client.send(search.fill(values))
        except StatusError as error:
            if error.status in _DELETED:
                return None
            raise
        # In a thread, because a huge answer must not delay other work.
        return await asyncio.to_thread(search.read, document, sought)

    async def _send(
        self, request: JsonRequest, deleted: frozenset[int] = frozenset()
    ) -> HttpAnswer:
        try:
            return await self._client.exchange(request)
        except StatusError as error:
            if error.status in deleted:
                raise NoteRefusedError(f"its record was deleted ({error.status})") from None
            if error.status in _REFUSED:
                raise NoteRefusedError(f"the server refuses it ({error.status})") from None
            raise
