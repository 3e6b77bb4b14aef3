"""A directory whose server is asked over HTTP, as a template in the settings says.

The template suits any server that finds people by telephone number and answers in JSON.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Collection, Sequence
from datetime import tzinfo
from ssl import SSLContext
from typing import Annotated, Final, Literal, Self
from urllib.parse import quote, urljoin, urlsplit

from pydantic import Field, JsonValue, model_validator

from callerid.directories.base import ExternalDirectorySection
from callerid.directories.http_notes import (
    HeaderFieldName,
    HttpNotes,
    HttpNotesSection,
    HttpRequestSection,
)
from callerid.earlier_contacts import ContactFields, ContactsMapping, DirectoryContact
from callerid.number import PhoneNumber
from callerid.people_mapping import Expression, PeopleFields, PeopleMapping, apply, optional_path
from callerid.person import Person
from callerid.templates import NumberTemplate, RecordTemplate, RequestForm, TextTemplate
from config.fields import FilePath, Whole
from config.section import Section
from config.values import URL, Url
from net.authentication import (
    BasicAuthentication,
    BearerAuthentication,
    ClientCredentials,
)
from net.errors import ServerError
from net.json_client import Authentication, Json, JsonClient, JsonRequest

_SECRETS: Final = {"basic": "user", "bearer": "", "oauth2": "client_id"}
"""For each kind of authentication, a setting that it needs besides `secret_file`, or ""."""
_PERSON: Final = "{id}"
_MOST_PAGES: Final = 5


class DirectoryAuthentication(Section):
    """`[directories.authentication]`: how Galwad proves to the directory's server who it is."""

    kind: Literal["basic", "bearer", "oauth2"] = Field(description='"basic", "bearer" or "oauth2"')
    user: str = Field(default="", description='the user name for "basic", in quotes')
    secret_file: FilePath = Field(
        description="an absolute path of a file with the password, the token or the client's secret"
    )
    scheme: HeaderFieldName = Field(
        default="Bearer", description='the word before the token for "bearer", such as "token"'
    )
    client_id: str = Field(default="", description='the client id for "oauth2", in quotes')
    token_url: Url | None = Field(default=None, description=URL)
    scope: str = Field(default="", description='the scope for "oauth2", in quotes')

    @model_validator(mode="after")
    def _check_kind(self) -> Self:
        needed = _SECRETS[self.kind]
        if needed and not getattr(self, needed):
            raise ValueError(f'needs "{needed}" for the kind "{self.kind}"')
        if self.kind == "oauth2" and self.token_url is None:
            raise ValueError('needs "token_url" for the kind "oauth2"')
        return self

    def open(self, tls: SSLContext) -> Authentication:
        """Return the authentication of the requests. `tls` is for the server that issues tokens."""
        match self.kind:
            case "basic":
                return BasicAuthentication(self.user, self.secret_file)
            case "bearer":
                return BearerAuthentication(self.secret_file, self.scheme)
            case "oauth2":
                return ClientCredentials(
                    tls, self.token_url or "", self.client_id, self.secret_file, scope=self.scope
                )


class HttpSearchSection(Section):
    """`[directories.search]`: the request that searches by a text, such as a name."""

    url: Url = Field(description=URL)
    method: Literal["GET", "POST"] = Field(default="GET", description='"GET" or "POST"')
    query: dict[str, JsonValue] = Field(
        default_factory=dict, description='a table, such as { name = "{text}" }'
    )
    body: JsonValue = Field(
        default=None, description='a table or a list, such as { name = "{text}" }'
    )


class HttpContactsSection(HttpRequestSection):
    """`[directories.earlier_contacts]`: the request for the earlier contacts of a person."""

    query: dict[str, JsonValue] = Field(
        default_factory=dict, description='a table, such as { person = "{id}" }'
    )
    body: JsonValue = Field(
        default=None, description='a table or a list, such as { person = "{id}" }'
    )
    contacts: Expression = Field(description='a JMESPath expression, such as "items"')
    fields: ContactFields = Field(description='a table with "time" and "subject"')

    @model_validator(mode="after")
    def _check_person(self) -> Self:
        in_path = _PERSON in urlsplit(self.url).path
        if _PERSON not in self.url + json.dumps([self.query, self.body]):
            raise ValueError(
                f'needs {_PERSON}, the id of the person\'s record, in "url", "query" or "body": '
                "otherwise the contacts of all people would be requested"
            )
        if not in_path and self.fields.person is None:
            raise ValueError(
                'needs "fields.person", where a contact has the id of its person: a server that '
                "ignores the condition would otherwise show the contacts of other people"
            )
        return self


class HttpDirectorySection(HttpRequestSection, ExternalDirectorySection):
    """`[[directories]]` of the kind "http"."""

    kind: Literal["http"] = Field(description='"http"')
    query: dict[str, JsonValue] = Field(
        default_factory=dict, description='a table, such as { phone = "{e164}" }'
    )
    body: JsonValue = Field(
        default=None, description='a table or a list, such as { phones = "{spellings}" }'
    )
    people: Expression = Field(description='a JMESPath expression, such as "items"')
    next_page: Expression | None = Field(
        default=None, description='a JMESPath expression, such as "links.next"'
    )
    not_found: tuple[Annotated[Whole, Field(ge=400, le=499)], ...] = Field(
        default=(404,), description="a list of status codes from 400 to 499, such as [404]"
    )
    fields: PeopleFields = Field(description='a table with "id", "name" and "numbers"')
    authentication: DirectoryAuthentication | None = Field(
        default=None, description='a table with "kind" and "secret_file"'
    )

    search: HttpSearchSection | None = Field(default=None, description='a table with "url"')
    earlier_contacts: HttpContactsSection | None = Field(
        default=None, description='a table with "url", "contacts" and "fields"'
    )
    contact_notes: HttpNotesSection | None = Field(
        default=None, description='a table with "url" and "body"'
    )

    @property
    def target(self) -> str:
        """The method and the address of the requests."""
        return f"{self.method} {self.url}"

    def open(self) -> HttpDirectory:
        """Return the directory of these settings, as `ExternalDirectorySection.open` says."""
        client = self._client(empty_statuses=self.not_found)
        if self.search is None:
            return HttpDirectory(self, client)
        return SearchableHttpDirectory(self, self.search, client)

    def open_notes(self, zone: tzinfo | None = None) -> HttpNotes | None:
        """Return the destination of contact notes, as `ExternalDirectorySection` says."""
        del zone
        if self.contact_notes is None:
            return None
        return HttpNotes(self.name, self.contact_notes, self._client())

    def _client(self, empty_statuses: Collection[int] = ()) -> JsonClient:
        tls = self.tls.context()
        return JsonClient(
            Authentication() if self.authentication is None else self.authentication.open(tls),
            tls,
            connections=self.concurrency,
            empty_statuses=empty_statuses,
        )


class HttpDirectory:
    """A directory that is asked over HTTP. Its requests are sent by `client`."""

    def __init__(self, section: HttpDirectorySection, client: JsonClient) -> None:
        self.name = section.name
        self.has_extensions = section.extensions
        self._section = section
        self._form = RequestForm(NumberTemplate, section.query, section.body)
        self._mapping = PeopleMapping(section.people, section.fields)
        self._next_page = optional_path("next_page", section.next_page)
        self._contacts: ContactsMapping | None = None
        if (contacts := section.earlier_contacts) is not None:
            self._contacts_form = RequestForm(
                RecordTemplate, contacts.query, contacts.body, "earlier_contacts."
            )
            self._contacts = ContactsMapping(contacts.contacts, contacts.fields)
        self._client = client

    @property
    def has_contacts(self) -> bool:
        """True if the directory can be asked for contacts."""
        return self._contacts is not None

    async def find(self, number: PhoneNumber) -> list[Person]:
        """Return the people whom the server finds, on at most five pages.

        Raises `ServerBusyError` if the server asks for a rest. Raises `ServerError` for another
        failure, or if there are more pages.
        """
        query, body = self._form.query(number), self._form.body(number)
        return await self._people(self._section.method, self._section.url, query, body)

    async def contacts_of(self, record_id: str) -> list[DirectoryContact]:
        """Return the earlier contacts of the person with this record id, the newest first.

        Only the first page of an answer is read, so the request should ask for the newest first.

        Raises:
            ServerBusyError: The server asks for a rest.
            ServerError: The server cannot be asked, or the id cannot be a part of the request.
        """
        section = self._section.earlier_contacts
        if section is None or self._contacts is None:
            return []
        if not record_id.strip("."):  # in an address, ".." is another folder
            raise ServerError("the person's record id is empty, or has only dots")
        url = section.url.replace(_PERSON, quote(record_id, safe="", errors="replace"))
        query, body = self._contacts_form.query(record_id), self._contacts_form.body(record_id)
        request = JsonRequest(section.method, url, query, section.headers, body)
        document = await self._client.send(request)
        # In a thread, because a huge answer must not delay other work.
        return await asyncio.to_thread(self._contacts.read, document, record_id)

    async def close(self) -> None:
        """Close the connections to the server."""
        await self._client.close()

    async def _people(
        self, method: str, url: str, query: Sequence[tuple[str, str]], body: Json
    ) -> list[Person]:
        headers, people = self._section.headers, list[Person]()
        request = JsonRequest(method, url, query, headers, body)
        for _ in range(_MOST_PAGES):
            document = await self._client.send(request)
            # In a thread, because a huge answer must not delay other work.
            people += await asyncio.to_thread(self._mapping.read, document, self.name)
            following = self._following(document)
            if following is None:
                return people
            request = JsonRequest(method, following, (), headers, body)
        raise ServerError(f"the answer has more than {_MOST_PAGES} pages")

    def _following(self, document: Json) -> str | None:
        """Return the address of an answer's next page; None if there is none.

        Raises `ServerError` if the address cannot be read, or is on another server, which must not
        get our credentials.
        """
        if self._next_page is None or document is None:
            return None
        address = apply(self._next_page, document)
        if not address:
            return None
        if not isinstance(address, str):
            raise ServerError('the answer has no address where "next_page" points')
        try:
            following = urljoin(self._section.url, address)
            same = _server(following) == _server(self._section.url)
        except ValueError:
            raise ServerError("the address of the next page cannot be read") from None
        if not same:
            raise ServerError("the next page is on another server, which is not asked")
        return following


class SearchableHttpDirectory(HttpDirectory):
    """A directory over HTTP that can also be searched by a text."""

    def __init__(
        self, section: HttpDirectorySection, search: HttpSearchSection, client: JsonClient
    ) -> None:
        super().__init__(section, client)
        self._search = search
        self._search_form = RequestForm(TextTemplate, search.query, search.body, "search.")

    async def search(self, text: str) -> list[Person]:
        """Return the people whom the server finds by a text.

        Raises `ServerBusyError` if the server asks for a rest, or else `ServerError`.
        """
        query, body = self._search_form.query(text), self._search_form.body(text)
        return await self._people(self._search.method, self._search.url, query, body)


def _server(url: str) -> tuple[str, str | None, str | None, int | None]:
    """Return the part of an address that decides who gets our credentials. Raises `ValueError`."""
    parts = urlsplit(url)
    default = {"https": 443, "http": 80}.get(parts.scheme)
    return parts.scheme, parts.username, parts.hostname, parts.port or default
