"""A system to which contact notes are delivered over HTTP, as templates in the settings say.

If the result of an earlier attempt is not known, the system is searched for the note before it is
written again. The search is not needed if a repeated request writes no second note.

A template is a JSON value or an address with `NOTE_PLACEHOLDERS`. If the whole text of a member is
one placeholder without a value, the member is left out: a note without a confirmed person has no
member for the person.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Final, Literal, Self, TypeAlias
from urllib.parse import quote

from pydantic import Field, JsonValue, model_validator

from callerid.errors import NoteRefusedError, TemplateError
from callerid.note import EarlierDelivery, OutgoingNote
from callerid.people_mapping import PATH, Expression, apply, optional_path, path, text_of_value
from callerid.templates import PLACEHOLDER, PlaceholderTemplate, RequestForm, naming
from config.fields import Flag
from config.section import Section
from config.values import URL, Url
from net.errors import ServerError, StatusError
from net.json_client import REFUSED, HttpAnswer, Json, JsonClient, JsonRequest, parse_json

_OWN_ADDRESS: Final = ("{note_id}", "{call_id}", "{record_id}")
"""An address with one of these placeholders is the address of only one note."""
HeaderText: TypeAlias = Annotated[str, Field(pattern=r"^[\x21-\x7e]([\x20-\x7e]*[\x21-\x7e])?$")]
HeaderFieldName: TypeAlias = Annotated[str, Field(pattern=r"^[A-Za-z0-9-]{1,64}$")]
NOTE_PLACEHOLDERS: Final = (
    *("note_id", "call_id", "version", "version_id", "record_id", "started", "line", "advisor"),
    *("person_id", "reference", "purpose", "purpose_code", "language", "outcome", "caller_type"),
    *("on_behalf_of", "authority", "notes", "recording_url", "subject", "text"),
)
IN_ADDRESS: Final = ("note_id", "call_id", "version", "version_id", "record_id")
"""The placeholders that an address may have: those without personal data."""
_DELETED: Final = frozenset({404, 410})
_LONGEST_ID: Final = 200


class NoteRequestSection(Section):
    """A request that writes a contact note."""

    url: Url = Field(description=URL)
    method: Literal["POST", "PUT", "PATCH"] = Field(
        default="POST", description='"POST", "PUT" or "PATCH"'
    )
    headers: dict[HeaderFieldName, HeaderText] = Field(
        default_factory=dict, description='a table, such as { Prefer = "return=minimal" }'
    )
    body: JsonValue = Field(description='a table or a list, such as { text = "{text}" }')

    @property
    def is_repeatable(self) -> bool:
        """True if the server has one record for each address, so a repeated request does no harm.

        This is so for PUT (RFC 9110, section 9.2.2) if the address has the id of the note, of its
        call or of its record.
        """
        return self.method == "PUT" and any(name in self.url for name in _OWN_ADDRESS)


class HttpRequestSection(Section):
    """A request that reads: its address, method and header fields."""

    url: Url = Field(description=URL)
    method: Literal["GET", "POST"] = Field(default="GET", description='"GET" or "POST"')
    headers: dict[HeaderFieldName, HeaderText] = Field(
        default_factory=dict, description='a table, such as { Prefer = "return=minimal" }'
    )


class NoteSearchSection(HttpRequestSection):
    """`find`: a request that searches for a contact note."""

    query: dict[str, JsonValue] = Field(
        default_factory=dict, description='a table, such as { text = "{call_id}" }'
    )
    body: JsonValue = Field(
        default=None, description='a table or a list, such as { text = "{call_id}" }'
    )
    records: Expression = Field(description='a JMESPath expression, such as "items"')
    id: Expression = Field(default="id", description=PATH)
    text: Expression = Field(description='a JMESPath expression, such as "subject"')


class NoteChangeSection(NoteRequestSection):
    """`[directories.contact_notes.change]`: the request that writes a later version of a note."""

    idempotent: Flag = Field(
        default=False, description="true if the server ignores a repeated request, else false"
    )
    find: NoteSearchSection | None = Field(default=None, description='a table with "url"')


class HttpNotesSection(NoteRequestSection):
    """`[directories.contact_notes]`: the requests that write contact notes."""

    record_id: Expression | None = Field(default=None, description=PATH)
    idempotent: Flag = Field(
        default=False, description="true if the server ignores a repeated request, else false"
    )
    find: NoteSearchSection | None = Field(default=None, description='a table with "url"')
    change: NoteChangeSection | None = Field(
        default=None, description='a table with "url" and "body"'
    )

    @model_validator(mode="after")
    def _check_repetition(self) -> Self:
        if not (self.is_repeatable or self.idempotent or self.find):
            raise ValueError(
                'needs the table "find", or "idempotent = true" if the server ignores a repeated '
                "request: otherwise a note could be written twice"
            )
        if self.change is None:
            if not self.is_repeatable:
                raise ValueError('needs the table "change" for later versions of a note')
        elif not (self.change.is_repeatable or self.change.idempotent or self.change.find):
            raise ValueError(
                'needs the table "change.find", or "change.idempotent = true" if the server '
                "ignores a repeated request: otherwise a version could be written twice"
            )
        needs_id = self.change is not None and "{record_id}" in self.change.url
        if needs_id and self.record_id is None:
            raise ValueError('needs "record_id", because the address of "change" has {record_id}')
        return self


class _Request:
    """A request in the settings. `fill` inserts the values of a note. Raises `TemplateError`."""

    def __init__(self, table: str, section: NoteRequestSection | NoteSearchSection) -> None:
        self._method = section.method
        self._headers = section.headers
        with naming(f"{table}.url"):
            self._url = AddressTemplate(section.url)
        query = section.query if isinstance(section, NoteSearchSection) else {}
        self._form = RequestForm(NoteTemplate, query, section.body, f"{table}.")

    def fill(self, values: Mapping[str, str], more: Mapping[str, str] | None = None) -> JsonRequest:
        """Return the request with these values. `more` are further header fields."""
        return JsonRequest(
            self._method,
            self._url.fill(values),
            self._form.query(values),
            {**(more or {}), **self._headers},
            self._form.body(values),
        )


class _Search(_Request):
    def __init__(self, table: str, section: NoteSearchSection) -> None:
        super().__init__(table, section)
        self._records = path(f"{table}.records", section.records)
        self._record_id = path(f"{table}.id", section.id)
        self._text = path(f"{table}.text", section.text)

    def read(self, document: Json, sought: str) -> str | None:
        """Return the id of the record whose text has `sought`, or None. Raises `ServerError`."""
        if document is None:
            return None
        records = apply(self._records, document)
        if not isinstance(records, list):
            raise ServerError('the answer has no list where "records" points')
        for record in records:
            if sought in text_of_value(apply(self._text, record)):
                return text_of_value(apply(self._record_id, record))
        return None


class HttpNotes:
    """A system to which contact notes are delivered over HTTP. `client` sends the requests."""

    def __init__(self, name: str, section: HttpNotesSection, client: JsonClient) -> None:
        table, change = "contact_notes", section.change
        self.name = name
        self._create = _Request(table, section)
        self._record_id = optional_path(f"{table}.record_id", section.record_id)
        self._find = _search(f"{table}.find", section.find)
        # Without "change", later versions are written in the same way, to the same address.
        self._change = self._create if change is None else _Request(f"{table}.change", change)
        self._find_change = _search(f"{table}.change.find", change.find if change else None)
        self._client = client

    async def deliver(self, note: OutgoingNote, earlier: EarlierDelivery) -> str:
        """Write a version of a note; return the id of its record, or "" if the id is not known.

        Raises:
            NoteRefusedError: The server does not accept the note, or has no record of it any more.
            ServerBusyError: The server asks for a rest.
            ServerError: The server cannot be reached, or its answer cannot be read.
        """
        if earlier.version == 0:
            return await self._deliver_first(note, repeated=earlier.uncertain)
        return await self._deliver_later(note, earlier)

    async def close(self) -> None:
        """Close the connections to the server."""
        await self._client.close()

    async def _deliver_first(self, note: OutgoingNote, *, repeated: bool) -> str:
        values = note_values(note)
        if repeated and self._find is not None:
            found = await self._found(self._find, values, note.call_id)
            if found is not None:
                return found
        answer = await self._send(self._create, values)
        if self._record_id is None:
            return ""
        record_id = text_of_value(apply(self._record_id, parse_json(answer.body)))
        if not record_id.strip(".") or len(record_id) > _LONGEST_ID:
            raise ServerError('the answer has no id where "record_id" points')
        return record_id

    async def _deliver_later(self, note: OutgoingNote, earlier: EarlierDelivery) -> str:
        values = note_values(note, earlier.record_id)
        if earlier.uncertain and self._find_change is not None:
            found = await self._found(self._find_change, values, version_id(note))
            if found is not None:
                return earlier.record_id
        await self._send(self._change, values, deleted=_DELETED)
        return earlier.record_id

    async def _found(self, search: _Search, values: Mapping[str, str], sought: str) -> str | None:
        try:
            document = await self._client.send(search.fill(values))
        except StatusError as error:
            if error.status in _DELETED:
                return None
            raise
        # In a thread, because a huge answer must not delay other work.
        return await asyncio.to_thread(search.read, document, sought)

    async def _send(
        self, request: _Request, values: Mapping[str, str], deleted: frozenset[int] = frozenset()
    ) -> HttpAnswer:
        more = {"Idempotency-Key": values["version_id"]}
        try:
            return await self._client.exchange(request.fill(values, more))
        except StatusError as error:
            if error.status in deleted:
                raise NoteRefusedError(f"its record was deleted ({error.status})") from None
            if error.status in REFUSED:
                raise NoteRefusedError(f"the server refuses it ({error.status})") from None
            raise


def _search(table: str, section: NoteSearchSection | None) -> _Search | None:
    return None if section is None else _Search(table, section)


def version_id(note: OutgoingNote) -> str:
    """Return a text that no other version of a note has, such as `20261125-093000-abcdefgh/1`."""
    return f"{note.call_id}/{note.version}"


def note_values(note: OutgoingNote, record_id: str = "") -> dict[str, str]:
    """Return the value of each placeholder; `record_id` is the id of the note's record."""
    plain = ("call_id", "line", "advisor", "person_id", "reference", "purpose", "purpose_code")
    more = ("language", "outcome", "caller_type", "on_behalf_of", "authority", "notes")
    return {
        **{name: getattr(note, name) for name in (*plain, *more, "recording_url")},
        "note_id": str(note.note_id),
        "version": str(note.version),
        "version_id": version_id(note),
        "record_id": record_id,
        "started": note.started_at,
        "subject": note.subject,
        "text": note.text,
    }


class NoteTemplate(PlaceholderTemplate):
    """A JSON value with the placeholders of a note."""

    names = NOTE_PLACEHOLDERS

    def fill(self, values: Mapping[str, str]) -> Json:
        """Return the JSON value in which these values are filled in."""
        return _filled(self.value, values)


@dataclass(frozen=True, slots=True)
class AddressTemplate:
    """An address with placeholders."""

    text: str

    def __post_init__(self) -> None:
        """Check the placeholders: none may be personal data. Raises `TemplateError`."""
        for name in PLACEHOLDER.findall(self.text):
            if name not in IN_ADDRESS:
                raise TemplateError(f"has the placeholder {{{name}}}, which an address cannot have")

    def fill(self, values: Mapping[str, str]) -> str:
        """Return the address in which these values are filled in, percent-encoded."""
        return PLACEHOLDER.sub(lambda found: quote(values[found[1]], safe=""), self.text)


def _filled(value: Json, values: Mapping[str, str]) -> Json:
    match value:
        case str():
            return PLACEHOLDER.sub(lambda found: values[found[1]], value)
        case list():
            return [_filled(each, values) for each in value]
        case dict():
            return {
                name: _filled(each, values)
                for name, each in value.items()
                if not _is_without_value(each, values)
            }
    return value


def _is_without_value(value: Json, values: Mapping[str, str]) -> bool:
    found = PLACEHOLDER.fullmatch(value) if isinstance(value, str) else None
    return found is not None and not values[found[1]]
