"""A Salesforce organisation: its settings, the search for people, and contact notes as tasks.

The number is sent in the body of a parameterized search, so it is in no address and no log of
addresses. The documentation does not say how Salesforce splits a number into the words of its
index. So one search asks for the number with its digits in one word, and for its usual groups.

Each contact note is a completed task. The task has the id of its call in a field of its own, which
is an external id. So a note that is delivered twice is one task.

See the REST API Developer Guide (developer.salesforce.com).
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator, Sequence
from datetime import datetime, tzinfo
from functools import partial
from http import HTTPStatus
from typing import Annotated, Final, Literal, Self, TypeAlias
from urllib.parse import quote, urlsplit

import phonenumbers
from pydantic import AfterValidator, Field, model_validator

from callerid.directories.base import ExternalDirectorySection
from callerid.errors import NoteRefusedError
from callerid.note import EarlierDelivery, OutgoingNote
from callerid.number import PhoneNumber
from callerid.people_mapping import PeopleFields, PeopleMapping
from callerid.person import Person
from callerid.written_numbers import national, spellings
from config.fields import FilePath
from config.section import Section
from config.values import Url
from net.authentication import ClientCredentials
from net.errors import ServerBusyError, ServerError, StatusError
from net.json_client import Json, JsonClient, JsonRequest, parse_json

_MY_DOMAIN: Final = 'the address of My Domain, such as "https://council.my.salesforce.com"'
_FIELD: Final = 'the API name of a field, such as "Name"'
_OLDEST: Final = 61
"""The first version of the API with `updateOnly`, which changes a record but creates none."""
_NUMBERS: Final = {
    "Account": ("Phone",),
    "Contact": ("Phone", "MobilePhone", "HomePhone", "OtherPhone"),
    "Lead": ("Phone", "MobilePhone"),
}
"""The fields with telephone numbers that the objects of every organisation have."""


def _my_domain(url: str) -> str:
    url = url.removesuffix("/")
    parts = urlsplit(url)
    if parts.path or parts.query:
        raise ValueError(f"must be {_MY_DOMAIN}")
    return url


def _version(text: str) -> str:
    if int(text.partition(".")[0]) < _OLDEST:
        raise ValueError(f'must be version "{_OLDEST}.0" of the API or a later one')
    return text


MyDomain: TypeAlias = Annotated[Url, AfterValidator(_my_domain)]
ApiVersion: TypeAlias = Annotated[str, Field(pattern=r"^[0-9]{2,3}\.0$"), AfterValidator(_version)]
ApiName: TypeAlias = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_]{0,79}$")]
FieldName: TypeAlias = Annotated[
    str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_]{0,79}(\.[A-Za-z][A-Za-z0-9_]{0,79}){0,5}$")
]
_DIGITS: Final = re.compile(r"[0-9]+")
_WHOLE: Final = re.compile(r"[0-9]{2,}(?: [0-9]{2,})*")
"""A phrase of words with two digits or more. Salesforce does not search for shorter words."""
_LENGTH: Final = 10
"""The number of digits of most British numbers, without the 0."""
_GROUPS: Final = ((4,), (4, 7), (3, 6), (2, 6), (2, 4), (2,), (5,))
"""The places at which people divide the ten digits of a British number.

They are the places in 01632 960001, 01632 960 001, 0207 946 0000, 020 7946 0000, 029 20 180000,
020 79460000 and 016323 60001.
"""
_INTERNATIONAL: Final = phonenumbers.PhoneNumberFormat.INTERNATIONAL
_RESERVED: Final = re.compile(r"[?&|!{}\[\]()^~*:\\\"'+\-]")
_ESCAPED: Final = r"\\\g<0>"
_MOST_WORDS: Final = 10
_LONGEST_WORD: Final = 80
_MOST_FOUND: Final = 50
_LIMIT: Final = 501
"""The most records that are asked for: one more than `PeopleMapping` accepts.

So an answer that Salesforce has cut short is an error, and not an answer without the caller.
"""
_TASK_ID: Final = re.compile(r"[A-Za-z0-9]{15}(?:[A-Za-z0-9]{3})?")
_LONGEST_SUBJECT: Final = 255
_PERSON: Final = ("003", "00Q")
"""The first characters of the ids of contacts and leads."""
_EXISTS: Final = frozenset({"DUPLICATE_VALUE", "INVALID_FIELD_FOR_INSERT_UPDATE"})
"""The codes of the error if an earlier attempt has created the task already."""
_MISSING: Final = frozenset({"ENTITY_IS_DELETED", "NOT_FOUND"})
"""The codes of the error if the task that is to be changed does not exist."""
_PASSING: Final = frozenset({"DUPLICATE_VALUE", "STORAGE_LIMIT_EXCEEDED", "UNABLE_TO_LOCK_ROW"})
"""The codes of an error 400 that may be over at the next attempt."""
_ERRORS: Final = frozenset({300, *range(400, 600)})
_CODE: Final = re.compile(r"[A-Z][A-Z_]{1,63}")
_USED_UP: Final = "REQUEST_LIMIT_EXCEEDED"
"""The code of the error 403 if the organisation has used up its requests of the last 24 hours."""
_USED_UP_REST_S: Final = 60.0


class SalesforceFieldsSection(Section):
    """`[directories.fields]`: the fields of a person, by their API names."""

    name: FieldName = Field(default="Name", description=_FIELD)
    numbers: tuple[FieldName, ...] = Field(
        default=(), description='a list of API names of fields, such as ["Phone", "MobilePhone"]'
    )
    language: FieldName | None = Field(default=None, description=_FIELD)
    do_not_pop: FieldName | None = Field(default=None, description=_FIELD)
    details: dict[str, FieldName] = Field(
        default_factory=dict, description='a table, such as { email = "Email" }'
    )


class SalesforceNotesSection(Section):
    """`[directories.contact_notes]`: contact notes are written to this organisation as tasks."""

    external_id: ApiName = Field(
        default="Galwad_Call__c",
        description='the API name of a field of tasks, such as "Galwad_Call__c"',
    )


class SalesforceDirectorySection(ExternalDirectorySection):
    """`[[directories]]` of the kind "salesforce"."""

    kind: Literal["salesforce"] = Field(description='"salesforce"')
    url: MyDomain = Field(description=_MY_DOMAIN)
    client_id: str = Field(
        min_length=1, description="the consumer key of the external client app, in quotes"
    )
    secret_file: FilePath = Field(description="an absolute path of a file with the consumer secret")
    api_version: ApiVersion = Field(
        default="65.0", description='a version of the API, such as "65.0"'
    )
    object: ApiName = Field(
        default="Contact", description='the API name of an object, such as "Contact"'
    )
    fields: SalesforceFieldsSection = Field(
        default=SalesforceFieldsSection(), description='a table, such as { name = "Name" }'
    )
    contact_notes: SalesforceNotesSection | None = Field(
        default=None, description='a table, such as { external_id = "Galwad_Call__c" }'
    )

    @property
    def target(self) -> str:
        """The method and the address of the requests."""
        return f"POST {self.url}/services/data/v{self.api_version}/parameterizedSearch"

    @property
    def numbers(self) -> tuple[str, ...]:
        """The fields that have telephone numbers."""
        return self.fields.numbers or _NUMBERS[self.object]

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of all fields in lower case, each only once. Salesforce ignores the case."""
        fields = self.fields
        names = ("Id", fields.name, *self.numbers, fields.language, fields.do_not_pop)
        names += tuple(fields.details.values())
        return tuple(dict.fromkeys(name.lower() for name in names if name))

    def open(self) -> SalesforceDirectory:
        """Return the directory of these settings, as `ExternalDirectorySection.open` says."""
        return SalesforceDirectory(self, self._api())

    def open_notes(self, zone: tzinfo | None = None) -> SalesforceNotes | None:
        """Return the destination of contact notes, as `ExternalDirectorySection` says."""
        if self.contact_notes is None:
            return None
        return SalesforceNotes(self.name, self.contact_notes, self._api(), zone)

    def _api(self) -> SalesforceApi:
        tls = self.tls.context()
        credentials = ClientCredentials(
            tls,
            f"{self.url}/services/oauth2/token",
            self.client_id,
            self.secret_file,
            check=partial(check_token, url=self.url),
        )
        client = JsonClient(credentials, tls, connections=self.concurrency)
        return SalesforceApi(client, self.url, self.api_version)

    @model_validator(mode="after")
    def _check_numbers(self) -> Self:
        if not self.fields.numbers and self.object not in _NUMBERS:
            raise ValueError(f'needs "fields.numbers" for the object "{self.object}"')
        return self


def check_token(document: Json, url: str) -> None:
    """Raise a ServerError if the token in an answer is for another server than `url`."""
    instance = document.get("instance_url") if isinstance(document, dict) else None
    if not isinstance(instance, str) or instance.rstrip("/").lower() != url.lower():
        raise ServerError('the token is for another server: set "url" to your My Domain')


class SalesforceApi:
    """The REST API of one Salesforce organisation.

    `url` is the address of My Domain without a slash at its end. `version` is the version of the
    API, such as "65.0".
    """

    def __init__(self, client: JsonClient, url: str, version: str) -> None:
        self._client = client
        self._base = f"{url}/services/data/v{version}"

    async def send(
        self, method: str, path: str, body: Json, query: Sequence[tuple[str, str]] = ()
    ) -> Json:
        """Send a request; return the document of the answer, or None if it has none.

        Raises:
            ServerBusyError: Salesforce asks for a rest, or the requests of the day are used up.
            StatusError: Salesforce refuses the request.
            ServerError: Salesforce cannot be reached, or its answer cannot be read.
        """
        request = JsonRequest(method, f"{self._base}/{path}", query, body=body)
        answer = await self._client.exchange(request, _ERRORS)
        if answer.status in _ERRORS:
            code = error_code(answer.body)
            if code == _USED_UP:
                raise ServerBusyError(_USED_UP_REST_S)
            raise StatusError(answer.status, code)
        return None if answer.status == HTTPStatus.NO_CONTENT else parse_json(answer.body)

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()


def error_code(text: bytes) -> str:
    """Return the code of the first error in the body of a response; "" if it has no valid code."""
    try:
        document = parse_json(text)
    except ServerError:
        return ""
    first = document[0] if isinstance(document, list) and document else None
    code = first.get("errorCode") if isinstance(first, dict) else None
    return code if isinstance(code, str) and _CODE.fullmatch(code) else ""


class SalesforceDirectory:
    """A directory that is searched in Salesforce. Its requests are sent by `api`."""

    def __init__(self, section: SalesforceDirectorySection, api: SalesforceApi) -> None:
        self.name = section.name
        self.has_extensions = section.extensions
        self._api = api
        self._object_name = section.object
        self._columns = section.columns
        self._mapping = _mapping(section)

    async def find(self, number: PhoneNumber) -> list[Person]:
        """Return the people whom Salesforce finds.

        Raises `ServerBusyError` if Salesforce asks for a rest or the day's requests are used up.
        Raises `ServerError` for another failure, or if more than 500 people are found.
        """
        return await self._ask(search_text(number), "PHONE", _LIMIT)

    async def search(self, text: str) -> list[Person]:
        """Return at most 50 people who match the first ten words of a text, such as a name.

        The words, or their beginnings, may be in any field that Salesforce searches. Without a word
        of two letters or digits, no person is found.

        Raises `ServerBusyError` and `ServerError` as `find`.
        """
        sought = search_words(text)
        return await self._ask(sought, "ALL", _MOST_FOUND) if sought else []

    async def close(self) -> None:
        """Close the connections to Salesforce."""
        await self._api.close()

    async def _ask(self, text: str, group: str, limit: int) -> list[Person]:
        """Return the people whom Salesforce finds by a text in a group of fields."""
        columns: list[Json] = [*self._columns]
        sought: Json = {
            "q": text,
            "in": group,
            "spellCorrection": False,
            "sobjects": [{"name": self._object_name, "fields": columns, "limit": limit}],
        }
        document = await self._api.send("POST", "parameterizedSearch", sought)
        # In a thread, because a huge answer must not delay other work.
        return await asyncio.to_thread(self._people, document)

    def _people(self, document: Json) -> list[Person]:
        records = document.get("searchRecords") if isinstance(document, dict) else None
        if not isinstance(records, list):
            raise ServerError("the answer has no list of records")
        rows: list[Json] = [
            {column: _value(record, column) for column in self._columns} for record in records
        ]
        return self._mapping.read(rows, self.name)


def search_text(number: PhoneNumber) -> str:
    """Return the text of a search for a number: phrases of digits, one of which must be found.

    Besides the digits, the text has only spaces, quotation marks and the operator OR.
    """
    phrases = dict.fromkeys(" ".join(_DIGITS.findall(form)) for form in _forms(number))
    return " OR ".join(f'"{phrase}"' for phrase in phrases if _WHOLE.fullmatch(phrase))


def search_words(text: str) -> str:
    """Return the search for records that have the first ten words of `text`.

    A word also finds longer words that begin with it, unless it ends with punctuation. Words with
    fewer than two letters or digits are left out. The result is "" if no word is left. Characters
    that Salesforce treats as operators are escaped.
    """
    words = [word[:_LONGEST_WORD] for word in "".join(filter(_plain, text)).split()]
    words = [word for word in words if sum(map(str.isalnum, word)) > 1][:_MOST_WORDS]
    return " AND ".join(f'"{_RESERVED.sub(_ESCAPED, word)}{_rest(word)}"' for word in words)


def _rest(word: str) -> str:
    """Return the wildcard for the rest of a word; "" if the word ends with punctuation."""
    return "*" if word[-1].isalnum() else ""


def _plain(character: str) -> bool:
    return character.isprintable() or character.isspace()


def _forms(number: PhoneNumber) -> Iterator[str]:
    """Yield the spellings of a number, also without 0 or country code, and in usual groups."""
    if not number.e164:
        yield number.extension
        return
    yield from spellings(number)
    parsed = phonenumbers.parse(number.e164)
    significant = phonenumbers.national_significant_number(parsed)
    yield significant
    yield phonenumbers.format_number(parsed, _INTERNATIONAL).partition(" ")[2]
    prefix = national(number).removesuffix(significant)
    if prefix == "0" and len(significant) == _LENGTH:
        for ends in _GROUPS:
            cuts = zip((0, *ends), (*ends, _LENGTH), strict=True)
            grouped = " ".join(significant[start:end] for start, end in cuts)
            yield grouped
            yield prefix + grouped


def _mapping(section: SalesforceDirectorySection) -> PeopleMapping:
    fields = section.fields
    places = PeopleFields(
        id=_quoted("Id"),
        name=_quoted(fields.name),
        numbers=f"[{', '.join(map(_quoted, section.numbers))}]",
        language=_quoted(fields.language) if fields.language else None,
        do_not_pop=_quoted(fields.do_not_pop) if fields.do_not_pop else None,
        details={label: _quoted(name) for label, name in fields.details.items()},
    )
    return PeopleMapping("@", places)


def _quoted(name: str) -> str:
    return f'"{name.lower()}"'


def _value(record: Json, column: str) -> Json:
    """Return the value of a field. The part "account" of "account.name" is a record in `record`."""
    for part in column.split("."):
        if not isinstance(record, dict):
            return None
        record = next((value for name, value in record.items() if name.lower() == part), None)
    return record


class SalesforceNotes:
    """Delivers contact notes to Salesforce. The requests are sent by `api`.

    `zone` is the time zone of the tasks' dates; with None, it is the time zone of this machine.
    """

    def __init__(
        self,
        name: str,
        section: SalesforceNotesSection,
        api: SalesforceApi,
        zone: tzinfo | None = None,
    ) -> None:
        self.name = name
        self._api = api
        self._external_id = section.external_id
        self._zone = zone

    async def deliver(self, note: OutgoingNote, earlier: EarlierDelivery) -> str:
        """Write a version of a note, and return the id of its task.

        Raises:
            NoteRefusedError: Salesforce does not accept this version, or the task was deleted.
            ServerBusyError: Salesforce asks for a rest, or the requests of the day are used up.
            ServerError: Salesforce cannot be reached now, or refuses Galwad's user.
        """
        if note.version <= earlier.version:
            return earlier.record_id
        try:
            return await self._deliver(note, earlier) or earlier.record_id
        except StatusError as error:
            if error.status == HTTPStatus.MULTIPLE_CHOICES:
                raise NoteRefusedError("Salesforce has several tasks of this call") from None
            if error.status == HTTPStatus.BAD_REQUEST and error.code not in {"", *_PASSING}:
                raise NoteRefusedError(
                    f"Salesforce does not accept the note ({error.code})"
                ) from None
            raise

    async def close(self) -> None:
        """Close the connections to Salesforce."""
        await self._api.close()

    async def _deliver(self, note: OutgoingNote, earlier: EarlierDelivery) -> str:
        task = _task(note, self._zone)
        if earlier.version:
            record_id = await self._update(note, task)
            if record_id is None:
                raise NoteRefusedError("the task was deleted in Salesforce")
            return record_id
        try:
            # The subtype can be set only when the task is created.
            return await self._write(note, {**task, "TaskSubtype": "Call"})
        except StatusError as error:
            if error.code not in _EXISTS:
                raise
            record_id = await self._update(note, task)
            if record_id is None:
                raise
            return record_id

    async def _update(self, note: OutgoingNote, task: dict[str, Json]) -> str | None:
        """Change the task of a note, and return its id; None if there is no such task."""
        try:
            return await self._write(note, task, ("updateOnly", "true"))
        except StatusError as error:
            if error.code not in _MISSING:
                raise
            return None

    async def _write(
        self, note: OutgoingNote, task: dict[str, Json], *query: tuple[str, str]
    ) -> str:
        """Create or change the task of a note; return its id, or "" if the answer has none."""
        path = f"sobjects/Task/{self._external_id}/{quote(note.call_id, safe='')}"
        document = await self._api.send("PATCH", path, task, query)
        if document is None:  # 204, as some versions of the API answer a change
            return ""
        record_id = document.get("id") if isinstance(document, dict) else None
        if not isinstance(record_id, str) or not _TASK_ID.fullmatch(record_id):
            raise ServerError("the answer has no id of a task")
        return record_id


def _task(note: OutgoingNote, zone: tzinfo | None) -> dict[str, Json]:
    """Return the fields of the task of a note, except the subtype and the id of the call."""
    is_person = note.person_id.startswith(_PERSON)
    return {
        "Subject": note.subject[:_LONGEST_SUBJECT],
        "Description": note.text,
        "WhoId": note.person_id if is_person else None,
        "WhatId": None if is_person else note.person_id or None,
        "Status": "Completed",
        "ActivityDate": datetime.fromtimestamp(note.started, tz=zone).date().isoformat(),
        "CallType": "Inbound",
    }
