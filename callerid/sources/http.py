"""A directory whose server is asked over HTTP, as a template in the settings says.

The template suits any server that finds people by telephone number and answers in JSON.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import quote, urljoin, urlsplit

from jmespath.parser import ParsedResult

from callerid.earlier_contacts import ContactsMapping, DirectoryContact
from callerid.errors import SourceError
from callerid.json_client import JsonClient, JsonRequest
from callerid.number import PhoneNumber
from callerid.people_mapping import PeopleMapping, apply
from callerid.person import Person
from callerid.templates import Json, NumberTemplate, RecordTemplate, TextTemplate, query_of

_MOST_PAGES: Final = 5


@dataclass(frozen=True, slots=True)
class HttpTemplate:
    """The form of the request for a number, and of its answer."""

    method: str
    url: str
    mapping: PeopleMapping
    query: Mapping[str, NumberTemplate] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    body: NumberTemplate | None = None
    """The JSON document that is sent; None if there is none."""
    next_page: ParsedResult | None = None
    """The place of the next page's address in an answer; None if there is only one page."""


@dataclass(frozen=True, slots=True)
class HttpSearch:
    """The form of the request for a text. Its answer is as that of the request for a number."""

    method: str
    url: str
    query: Mapping[str, TextTemplate] = field(default_factory=dict)
    body: TextTemplate | None = None


@dataclass(frozen=True, slots=True)
class HttpContacts:
    """The form of the request for the earlier contacts of a person, and of its answer."""

    method: str
    url: str
    """The address, in which `{id}` is the id of the person's record."""
    mapping: ContactsMapping
    query: Mapping[str, RecordTemplate] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    body: RecordTemplate | None = None

    def request(self, record_id: str) -> JsonRequest:
        """Return the request for the contacts of the person with this record id."""
        url = self.url.replace("{id}", quote(record_id, safe="", errors="replace"))
        query = query_of({name: each.fill(record_id) for name, each in self.query.items()})
        body = self.body.fill(record_id) if self.body is not None else None
        return JsonRequest(self.method, url, query, self.headers, body)


class HttpDirectory:
    """A directory that is asked over HTTP. Its requests are sent by `client`."""

    def __init__(
        self,
        name: str,
        template: HttpTemplate,
        client: JsonClient,
        *,
        has_extensions: bool = False,
        contacts: HttpContacts | None = None,
    ) -> None:
        self.name = name
        self.has_extensions = has_extensions
        self._template = template
        self._client = client
        self._contacts = contacts

    @property
    def has_contacts(self) -> bool:
        """True if the directory can be asked for contacts."""
        return self._contacts is not None

    async def find(self, number: PhoneNumber) -> list[Person]:
        """Return the people whom the server finds, at most those on the first five pages.

        Raises:
            SourceBusyError: The server asks for a rest.
            SourceError: The server cannot be searched, or finds more people.
        """
        template = self._template
        query = query_of({name: each.fill(number) for name, each in template.query.items()})
        body = template.body.fill(number) if template.body is not None else None
        return await self._people(template.method, template.url, query, body)

    async def contacts_of(self, record_id: str) -> list[DirectoryContact]:
        """Return the earlier contacts of the person with this record id, the newest first.

        Only the first page of an answer is read, so the request should ask for the newest ones.

        Raises:
            SourceBusyError: The server asks for a rest.
            SourceError: The server cannot be asked, or the id cannot be a part of an address.
        """
        if self._contacts is None:
            return []
        if not record_id.strip("."):  # in an address, dots are another folder
            raise SourceError("the person has no record id that can be asked for")
        document = await self._client.send(self._contacts.request(record_id))
        # In a thread, because a huge answer must not delay other work.
        return await asyncio.to_thread(self._contacts.mapping.read, document, record_id)

    async def close(self) -> None:
        """Close the connections to the server."""
        await self._client.close()

    async def _people(
        self, method: str, url: str, query: Sequence[tuple[str, str]], body: Json
    ) -> list[Person]:
        template, people = self._template, list[Person]()
        request = JsonRequest(method, url, query, template.headers, body)
        for _ in range(_MOST_PAGES):
            document = await self._client.send(request)
            # In a thread, because a huge answer must not delay other work.
            people += await asyncio.to_thread(template.mapping.read, document, self.name)
            following = self._next_page(document)
            if following is None:
                return people
            request = JsonRequest(method, following, (), template.headers, body)
        raise SourceError(f"the answer has more than {_MOST_PAGES} pages")

    def _next_page(self, document: Json) -> str | None:
        """Return the address of an answer's next page; None if this is the last one.

        Raises:
            SourceError: It is the address of another server, which must not get our credentials.
        """
        if self._template.next_page is None or document is None:
            return None
        address = apply(self._template.next_page, document)
        if not address:
            return None
        if not isinstance(address, str):
            raise SourceError('the answer has no address where "next_page" points')
        try:
            following = urljoin(self._template.url, address)
            same = _server(following) == _server(self._template.url)
        except ValueError:
            raise SourceError("the address of the next page cannot be read") from None
        if not same:
            raise SourceError("the next page is on another server, which is not asked")
        return following


class SearchableHttpDirectory(HttpDirectory):
    """A directory over HTTP that can also be searched by a text."""

    def __init__(
        self,
        name: str,
        template: HttpTemplate,
        text_search: HttpSearch,
        client: JsonClient,
        *,
        has_extensions: bool = False,
        contacts: HttpContacts | None = None,
    ) -> None:
        super().__init__(name, template, client, has_extensions=has_extensions, contacts=contacts)
        self._text_search = text_search

    async def search(self, text: str) -> list[Person]:
        """Return the people whom the server finds by a text.

        Raises:
            SourceBusyError: The server asks for a rest.
            SourceError: The server cannot be searched, or finds too many people.
        """
        form = self._text_search
        query = query_of({name: each.fill(text) for name, each in form.query.items()})
        body = form.body.fill(text) if form.body is not None else None
        return await self._people(form.method, form.url, query, body)


def _server(url: str) -> tuple[str, str | None, str | None, int | None]:
    """Return the part of an address that decides which server gets which credentials.

    Raises:
        ValueError: It is not an address.
    """
    parts = urlsplit(url)
    default = {"https": 443, "http": 80}.get(parts.scheme)
    return parts.scheme, parts.username, parts.hostname, parts.port or default
