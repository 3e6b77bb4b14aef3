"""Microsoft Dataverse, the database of Dynamics 365: settings, search and notes, by Web API 9.2.

Each number is sought in its usual spellings, which are compared as whole texts: a search for the
last digits would have to read the whole table. The query is sent in a batch of OData 4.0 with one
request (part 1, section 11.7), so that no server or proxy writes the number to a log of addresses.
The answer is not trusted: if it is not exactly one response, a `ServerError` is raised.

Each contact note is a phone call in the timeline of the person. The phone call has the id of the
note, so a repeated attempt makes no second phone call. A completed phone call is read-only. So it
is reopened for each later version, and completed again.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import tzinfo
from typing import TYPE_CHECKING, Annotated, Final, Literal, TypeAlias
from urllib.parse import quote
from uuid import UUID, uuid4

from pydantic import Field

from callerid.directories.base import ExternalDirectorySection
from callerid.errors import NoteRefusedError
from callerid.note import EarlierDelivery, OutgoingNote
from callerid.number import PhoneNumber
from callerid.people_mapping import PeopleFields, PeopleMapping
from callerid.person import Person
from callerid.written_numbers import spellings
from config.fields import FilePath
from config.section import Section
from config.values import Url
from net.authentication import ClientCredentials
from net.errors import ServerBusyError, ServerError
from net.json_client import HttpAnswer, Json, JsonClient, JsonRequest, parse_json, requested_rest

if TYPE_CHECKING:
    import httpx2

Column: TypeAlias = Annotated[str, Field(pattern=r"^[a-z_][a-z0-9_]{0,127}$")]
Guid: TypeAlias = Annotated[
    str, Field(pattern=r"^[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}$")
]
_COLUMN: Final = 'a column\'s logical name, such as "telephone1"'
_NAMES: Final = {"contacts": "fullname", "accounts": "name"}
_PHONES: Final = {
    "contacts": ("telephone1", "mobilephone", "telephone2", "telephone3"),
    "accounts": ("telephone1", "telephone2", "telephone3"),
}
_API: Final = "/api/data/v9.2/"
_ODATA: Final = {"OData-Version": "4.0", "OData-MaxVersion": "4.0"}
_KEYS: Final = {"contacts": "contactid", "accounts": "accountid"}
"""The tables that can be searched, each with the column of its id."""
_FORMATTED: Final = "OData.Community.Display.V1.FormattedValue"
_MOST_PEOPLE: Final = 500
_SEARCHED: Final = {
    "contacts": ("lastname", "address1_postalcode"),
    "accounts": ("accountnumber", "address1_postalcode"),
}
"""The columns, besides the name, that are searched for a text."""
_MOST_FOUND: Final = 50
"""The most people that a search for a text finds."""
_SHORTEST_TEXT: Final = 2
_LONGEST_TEXT: Final = 100
_WILDCARD: Final = re.compile(r"[\[%_]")
_ERROR_CODE: Final = re.compile(r"0x[0-9A-Fa-f]{8}")
_PARTIES: Final = "phonecall_activity_parties"
_OPEN: Final[Mapping[str, Json]] = {"statecode": 0, "statuscode": 1}
_RECEIVED: Final[Mapping[str, Json]] = {"statecode": 1, "statuscode": 4}
"""A phone call that is completed, and that came in."""
_SENDER: Final = 1
"""The `participationtypemask` of the party who called."""
_KINDS: Final = {"contacts": "contact", "accounts": "account"}
_LONGEST_SUBJECT: Final = 200
_REFUSED: Final = frozenset({400, 404, 405, 409, 410, 412, 413, 415, 422})
"""The statuses that another attempt would get too, such as 404 for a deleted phone call."""
_NOT_ALLOWED: Final = 403
_EXISTS: Final = 412
_BOUNDARY: Final = re.compile(
    r'multipart/mixed\s*;\s*boundary=("?)([A-Za-z0-9_.:+-]{1,70})\1', re.IGNORECASE
)
_STATUS_LINE: Final = re.compile(rb"HTTP/1\.1 ([1-5]\d\d)(?: [^\r\n]*)?")
_FIELD: Final = re.compile(rb"([A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}):[ \t]*([^\r\n]*?)[ \t]*")
_MOST_FIELDS: Final = 100
_UNREADABLE: Final = "the answer is not a batch with one response"


class DataverseNotesSection(Section):
    """`[directories.contact_notes]`: contact notes become phone calls in Dataverse."""

    purpose_column: Column | None = Field(default=None, description=_COLUMN)


class DataverseSection(ExternalDirectorySection):
    """`[[directories]]` of the kind "dataverse"."""

    kind: Literal["dataverse"] = Field(description='"dataverse"')
    url: Url = Field(
        pattern=r"^[a-z]+://[^/?]+/?$",
        description='an environment\'s address, such as "https://council.crm11.dynamics.com"',
    )
    tenant_id: Guid = Field(description="the directory (tenant) id of the app registration")
    client_id: Guid = Field(description="the application (client) id of the app registration")
    secret_file: FilePath = Field(
        description="an absolute path of a file with the value of the client secret"
    )
    login_url: Url = Field(
        default="https://login.microsoftonline.com",
        pattern=r"^[a-z]+://[^/?]+/?$",
        description='an address without a path, such as "https://login.microsoftonline.com"',
    )
    table: Literal["contacts", "accounts"] = Field(
        default="contacts", description='"contacts" or "accounts"'
    )
    phones: tuple[Column, ...] | None = Field(
        default=None,
        min_length=1,
        max_length=10,
        description='a list of 1 to 10 columns, such as ["telephone1", "mobilephone"]',
    )
    full_name: Column | None = Field(default=None, description=_COLUMN)
    language: Column | None = Field(default=None, description=_COLUMN)
    do_not_pop: Column | None = Field(default=None, description=_COLUMN)
    shared: Column | None = Field(default=None, description=_COLUMN)
    details: dict[str, Column] = Field(
        default_factory=dict, description='a table, such as { postcode = "address1_postalcode" }'
    )
    contact_notes: DataverseNotesSection | None = Field(
        default=None, description='a table, which may have "purpose_column"'
    )

    @property
    def target(self) -> str:
        """The environment and the table."""
        return f"{self.table} of {self.url}"

    @property
    def phone_columns(self) -> Sequence[str]:
        """The columns with telephone numbers: the usual ones if `phones` is not set."""
        return self.phones or _PHONES[self.table]

    @property
    def name_column(self) -> str:
        """The column with the name: the table's own if `full_name` is not set."""
        return self.full_name or _NAMES[self.table]

    @property
    def selected(self) -> str:
        """The columns in the form of `$select`."""
        columns = (
            _KEYS[self.table],
            self.name_column,
            *self.phone_columns,
            *(self.language, self.do_not_pop, self.shared),
            *self.details.values(),
        )
        return ",".join(dict.fromkeys(each for each in columns if each))

    def open(self) -> DataverseDirectory:
        """Return the directory of these settings, as `ExternalDirectorySection.open` says."""
        return DataverseDirectory(self, self._client())

    def open_notes(self, zone: tzinfo | None = None) -> DataverseNotes | None:
        """Return the destination of contact notes, as `ExternalDirectorySection` says."""
        del zone
        return DataverseNotes(self, self._client()) if self.contact_notes is not None else None

    def _client(self) -> JsonClient:
        tls = self.tls.context()
        credentials = ClientCredentials(
            tls,
            f"{self.login_url.rstrip('/')}/{self.tenant_id}/oauth2/v2.0/token",
            self.client_id,
            self.secret_file,
            scope=f"{self.url.rstrip('/')}/.default",
        )
        return JsonClient(credentials, tls, connections=self.concurrency)


class DataverseDirectory:
    """People in a table of Dataverse. The requests are sent by `client`."""

    def __init__(self, section: DataverseSection, client: JsonClient) -> None:
        self.name = section.name
        self.has_extensions = section.extensions
        self._section = section
        self._url = section.url.rstrip("/")
        self._mapping = _mapping(section)
        self._client = client

    async def find(self, number: PhoneNumber) -> list[Person]:
        """Return at most 500 active people who have the number in a usual spelling.

        Raises `ServerBusyError` if Dataverse asks for a rest, or else `ServerError`.
        """
        values = json.dumps(spellings(number))
        conditions = (
            f"Microsoft.Dynamics.CRM.In(PropertyName='{column}',PropertyValues={values})"
            for column in self._section.phone_columns
        )
        return await self._people(" or ".join(conditions), _MOST_PEOPLE)

    async def search(self, text: str) -> list[Person]:
        """Return active people whose name, postcode or reference begins with a text.

        At most 50 are returned, and none for a text of fewer than 2 or more than 100 characters.

        Raises `ServerBusyError` if Dataverse asks for a rest, or else `ServerError`.
        """
        text = " ".join(text.split())
        if not _SHORTEST_TEXT <= len(text) <= _LONGEST_TEXT:
            return []
        own = self._section
        references = [own.details["reference"]] if "reference" in own.details else []
        columns = dict.fromkeys((own.name_column, *_SEARCHED[own.table], *references))
        beginning = _pattern(text)
        conditions = (f"startswith({column},{beginning})" for column in columns)
        return await self._people(" or ".join(conditions), _MOST_FOUND)

    async def close(self) -> None:
        """Close the connections to Dataverse."""
        await self._client.close()

    async def _people(self, condition: str, most: int) -> list[Person]:
        """Return at most `most` active people for whom an OData condition is true."""
        boundary = f"batch_{uuid4()}"
        query = {
            "$select": self._section.selected,
            "$filter": f"statecode eq 0 and ({condition})",
            "$top": str(most),
        }
        wanted = {
            **_ODATA,
            "Accept": "application/json",
            "Prefer": f'odata.include-annotations="{_FORMATTED}"',
        }
        request = JsonRequest(
            "POST",
            f"{self._url}{_API}$batch",
            headers={
                **_ODATA,
                "Content-Type": batch_type(boundary),
                "Prefer": "odata.continue-on-error",
            },
            content=batch_of(boundary, f"{_API}{self._section.table}", query, wanted),
        )
        answer = await self._client.exchange(request, (400, 403, 404))
        # In a thread, because a huge answer must not delay other work.
        return await asyncio.to_thread(self._read, answer)

    def _read(self, answer: HttpAnswer) -> list[Person]:
        if answer.status >= 400:
            raise ServerError(_refusal(answer.status, answer.body))
        response = response_in(answer.content_type, answer.body)
        rest_s = requested_rest(response.status, response.headers)
        if rest_s is not None:
            raise ServerBusyError(rest_s)
        if response.status != 200:
            raise ServerError(_refusal(response.status, response.body))
        return self._mapping.read(parse_json(response.body), self.name)


def _mapping(section: DataverseSection) -> PeopleMapping:
    fields = PeopleFields(
        id=_KEYS[section.table],
        name=section.name_column,
        numbers=f"[{', '.join(section.phone_columns)}]",
        language=_shown(section.language) if section.language else None,
        kind="'organisation'" if section.table == "accounts" else None,
        # The values, not the labels: the label of a yes can be any text, such as "Do Not Allow".
        do_not_pop=section.do_not_pop,
        shared=section.shared,
        details={label: _shown(column) for label, column in section.details.items()},
    )
    return PeopleMapping("value", fields)


def _shown(column: str) -> str:
    """Return the expression for a column's label or formatted value, or else its value."""
    return f'"{column}@{_FORMATTED}" || {column}'


def _pattern(text: str) -> str:
    """Return the literal of OData for a pattern that matches exactly this text.

    Dataverse takes `%`, `_` and `[…]` for wildcards. In brackets, they match themselves.
    """
    literal = _WILDCARD.sub(r"[\g<0>]", text).replace("'", "''")
    return f"'{literal}'"


def _refusal(status: int, body: bytes) -> str:
    """Return the status of a refused request and the code of Dataverse's error, if it has one.

    The error's message is left out, because it may have personal data.
    """
    try:
        document: Json = parse_json(body)
    except ServerError:
        document = None
    error = document.get("error") if isinstance(document, dict) else None
    code = error.get("code") if isinstance(error, dict) else None
    known = isinstance(code, str) and _ERROR_CODE.fullmatch(code)
    return f"the server answers {status} ({code})" if known else f"the server answers {status}"


@dataclass(frozen=True, slots=True)
class BatchResponse:
    """The response to the request in a batch."""

    status: int
    headers: httpx2.Headers
    body: bytes


def batch_type(boundary: str) -> str:
    """Return the type of the content of a batch."""
    return f"multipart/mixed; boundary={boundary}"


def batch_of(
    boundary: str, path: str, query: Mapping[str, str], headers: Mapping[str, str]
) -> bytes:
    """Return a batch with one GET request for a path of the same server."""
    options = "&".join(
        f"{name}={quote(value, safe='', errors='replace')}" for name, value in query.items()
    )
    fields = [f"{name}: {value}" for name, value in headers.items()]
    lines = [
        f"--{boundary}",
        "Content-Type: application/http",
        "Content-Transfer-Encoding: binary",
        "",
        f"GET {path}?{options} HTTP/1.1",
        *fields,
        "",
        "",
        f"--{boundary}--",
        "",
    ]
    return "\r\n".join(lines).encode("ascii")


def response_in(content_type: str, body: bytes) -> BatchResponse:
    """Return the only response in the answer to a batch. Raises `ServerError` if malformed."""
    found = _BOUNDARY.fullmatch(content_type.strip())
    if found is None:
        raise ServerError(_UNREADABLE)
    mark = b"\r\n--" + found[2].encode("ascii")
    parts = (b"\r\n" + body).split(mark)
    if len(parts) != 3 or parts[0] or not parts[1].startswith(b"\r\n"):
        raise ServerError(_UNREADABLE)
    if parts[2].rstrip(b"\r\n") != b"--":
        raise ServerError(_UNREADABLE)
    _, fields, response = _headed(parts[1])
    if fields.get("Content-Type", "").partition(";")[0].strip() != "application/http":
        raise ServerError(_UNREADABLE)
    first, headers, content = _headed(response)
    status = _STATUS_LINE.fullmatch(first)
    if status is None:
        raise ServerError(_UNREADABLE)
    return BatchResponse(int(status[1]), headers, content)


def _headed(text: bytes) -> tuple[bytes, httpx2.Headers, bytes]:
    """Return the first line, the header fields and the body. Raises `ServerError`."""
    import httpx2  # noqa: PLC0415 - heavy

    head, end, body = text.partition(b"\r\n\r\n")
    first, *lines = head.split(b"\r\n")
    fields = [_FIELD.fullmatch(line) for line in lines[:_MOST_FIELDS]]
    if not end or len(lines) > _MOST_FIELDS or None in fields:
        raise ServerError(_UNREADABLE)
    return first, httpx2.Headers([(field[1], field[2]) for field in fields if field]), body


class DataverseNotes:
    """Writes contact notes as phone calls. The requests are sent by `client`."""

    def __init__(self, section: DataverseSection, client: JsonClient) -> None:
        self.name = section.name
        self._api = f"{section.url.rstrip('/')}{_API}"
        self._table = section.table
        self._client = client
        notes = section.contact_notes
        self._purpose_column = notes.purpose_column if notes is not None else None

    async def deliver(self, note: OutgoingNote, earlier: EarlierDelivery) -> str:
        """Write a version of a note, and return the id of its phone call.

        Raises:
            NoteRefusedError: Dataverse does not accept the note, or the phone call was deleted.
            ServerBusyError: Dataverse asks for a rest.
            ServerError: Dataverse cannot be reached now, or refuses Galwad's user.
        """
        record = f"phonecalls({note.note_id})"
        content, person = self._content(note), self._person(note)
        parties = _parties(person)
        if earlier.version or not await self._create(record, content, person, parties):
            await self._change(record, _OPEN)
            await self._change(record, {**content, self._regarding: person or None})
            await self._send("PUT", f"{record}/{_PARTIES}", {"value": parties})
        await self._change(record, _RECEIVED)
        return str(note.note_id)

    async def close(self) -> None:
        """Close the connections to Dataverse."""
        await self._client.close()

    @property
    def _regarding(self) -> str:
        return f"regardingobjectid_{_KINDS[self._table]}_phonecall@odata.bind"

    def _person(self, note: OutgoingNote) -> str:
        """Return the reference to the person, or "". Raises `NoteRefusedError` for a wrong id."""
        if not note.person_id:
            return ""
        try:
            return f"/{self._table}({UUID(note.person_id)})"
        except ValueError:
            raise NoteRefusedError("the person's id is not an id of Dataverse") from None

    def _content(self, note: OutgoingNote) -> dict[str, Json]:
        content: dict[str, Json] = {
            "subject": note.subject[:_LONGEST_SUBJECT],
            "description": note.text,
            "directioncode": False,
            "actualstart": note.started_at,
        }
        if self._purpose_column:
            code = note.purpose_code
            numeric = code.isascii() and code.isdecimal()
            content[self._purpose_column] = int(code) if numeric else code or None
        return content

    async def _create(
        self, record: str, content: dict[str, Json], person: str, parties: list[Json]
    ) -> bool:
        """Create a phone call that is open; return False if the phone call exists already."""
        if person:
            content = {**content, self._regarding: person, _PARTIES: parties}
        answer = await self._send("PATCH", record, content, "If-None-Match", {_EXISTS})
        return answer.status != _EXISTS

    async def _change(self, record: str, columns: Mapping[str, Json]) -> None:
        await self._send("PATCH", record, dict(columns), "If-Match")

    async def _send(
        self,
        method: str,
        record: str,
        body: dict[str, Json],
        condition: str = "",
        expected: Collection[int] = (),
    ) -> HttpAnswer:
        """Send a request.

        `condition` is "If-Match" if the record must exist, and "If-None-Match" if it must not.

        Raises:
            NoteRefusedError: The status is not in `expected`, and would be the same again.
            ServerError: Another attempt may be accepted, for example with more privileges.
        """
        headers = {**_ODATA, condition: "*"} if condition else _ODATA
        request = JsonRequest(method, f"{self._api}{record}", headers=headers, body=body)
        answer = await self._client.exchange(request, _REFUSED | {_NOT_ALLOWED})
        if answer.status < 400 or answer.status in expected:
            return answer
        reason = _refusal(answer.status, answer.body)
        if answer.status in _REFUSED:
            raise NoteRefusedError(reason)
        raise ServerError(reason)


def _parties(person: str) -> list[Json]:
    if not person:
        return []
    kind = _KINDS[person[1:].partition("(")[0]]
    return [{f"partyid_{kind}@odata.bind": person, "participationtypemask": _SENDER}]
