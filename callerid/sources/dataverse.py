"""People in Microsoft Dataverse, the database of Dynamics 365, by its Web API 9.2.

Each number is sought in its usual spellings, which are compared as whole texts: a search for the
last digits would have to read the whole table. The query is sent in a batch, so that no number is
in the address of a request.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from uuid import uuid4

from callerid.errors import SourceBusyError, SourceError
from callerid.json_client import HttpAnswer, JsonClient, JsonRequest, parse_json, requested_rest
from callerid.number import PhoneNumber
from callerid.odata_batch import batch_of, batch_type, response_in
from callerid.people_mapping import PeopleMapping, compiled
from callerid.person import Person
from callerid.spellings import spellings
from callerid.templates import Json

API: Final = "/api/data/v9.2/"
ODATA: Final = {"OData-Version": "4.0", "OData-MaxVersion": "4.0"}
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


@dataclass(frozen=True, slots=True)
class DataverseColumns:
    """The columns of a table that are read. A column that is "" is not."""

    table: str
    """The entity set: "contacts" or "accounts"."""
    name: str
    phones: Sequence[str]
    language: str = ""
    do_not_pop: str = ""
    shared: str = ""
    details: Sequence[tuple[str, str]] = ()
    """Pairs of a detail's name and its column."""

    @property
    def selected(self) -> str:
        """The columns in the form of `$select`."""
        more = (self.language, self.do_not_pop, self.shared)
        columns = (_KEYS[self.table], self.name, *self.phones, *more)
        details = (column for _, column in self.details)
        return ",".join(dict.fromkeys(each for each in (*columns, *details) if each))

    def mapping(self) -> PeopleMapping:
        """Return the places of people in an answer."""
        optional = {
            "language": _shown(self.language) if self.language else "",
            "kind": "'organisation'" if self.table == "accounts" else "",
            # Not the label: that of a yes could be any text, such as "Do Not Allow".
            "do_not_pop": self.do_not_pop,
            "shared": self.shared,
        }
        return PeopleMapping(
            people=compiled("value"),
            record_id=compiled(_KEYS[self.table]),
            name=compiled(self.name),
            numbers=compiled(f"[{', '.join(self.phones)}]"),
            details={label: compiled(_shown(column)) for label, column in self.details},
            **{name: compiled(path) for name, path in optional.items() if path},
        )


def _shown(column: str) -> str:
    """Return where a column's label or formatted value is, or else its value."""
    return f'"{column}@{_FORMATTED}" || {column}'


class DataverseDirectory:
    """People in a table of Dataverse.

    Args:
        name: The name of the directory.
        url: The address of the environment, such as "https://council.crm11.dynamics.com".
        columns: The columns that are searched and read.
        client: The client that sends the requests.
        has_extensions: Whether the columns have internal extensions.
    """

    def __init__(
        self,
        name: str,
        url: str,
        columns: DataverseColumns,
        client: JsonClient,
        *,
        has_extensions: bool = False,
    ) -> None:
        self.name = name
        self.has_extensions = has_extensions
        self._url = url.rstrip("/")
        self._columns = columns
        self._mapping = columns.mapping()
        self._client = client

    async def find(self, number: PhoneNumber) -> list[Person]:
        """Return the active people who have the number in one of its usual spellings.

        Raises:
            SourceBusyError: Dataverse asks for a rest.
            SourceError: Dataverse cannot be searched.
        """
        values = json.dumps(spellings(number))
        conditions = (
            f"Microsoft.Dynamics.CRM.In(PropertyName='{column}',PropertyValues={values})"
            for column in self._columns.phones
        )
        return await self._people(" or ".join(conditions), _MOST_PEOPLE)

    async def search(self, text: str) -> list[Person]:
        """Return active people whose name, postcode or reference begins with a text.

        At most 50 are returned, and none for a text of fewer than 2 or more than 100 characters.

        Raises:
            SourceBusyError: Dataverse asks for a rest.
            SourceError: Dataverse cannot be searched.
        """
        text = " ".join(text.split())
        if not _SHORTEST_TEXT <= len(text) <= _LONGEST_TEXT:
            return []
        own = self._columns
        references = (column for label, column in own.details if label == "reference")
        columns = dict.fromkeys((own.name, *_SEARCHED[own.table], *references))
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
            "$select": self._columns.selected,
            "$filter": f"statecode eq 0 and ({condition})",
            "$top": str(most),
        }
        wanted = {
            **ODATA,
            "Accept": "application/json",
            "Prefer": f'odata.include-annotations="{_FORMATTED}"',
        }
        request = JsonRequest(
            "POST",
            f"{self._url}{API}$batch",
            headers={
                **ODATA,
                "Content-Type": batch_type(boundary),
                "Prefer": "odata.continue-on-error",
            },
            content=batch_of(boundary, f"{API}{self._columns.table}", query, wanted),
        )
        answer = await self._client.exchange(request, (400, 403, 404))
        # In a thread, because a huge answer must not delay other work.
        return await asyncio.to_thread(self._read, answer)

    def _read(self, answer: HttpAnswer) -> list[Person]:
        if answer.status >= 400:
            raise SourceError(refusal(answer.status, answer.body))
        response = response_in(answer.content_type, answer.body)
        rest_s = requested_rest(response.status, response.headers)
        if rest_s is not None:
            raise SourceBusyError(rest_s)
        if response.status != 200:
            raise SourceError(refusal(response.status, response.body))
        return self._mapping.read(parse_json(response.body), self.name)


def _pattern(text: str) -> str:
    """Return the literal of OData for a pattern that matches exactly this text.

    Dataverse takes `%`, `_` and `[…]` for wildcards. In brackets, they are themselves.
    """
    literal = _WILDCARD.sub(r"[\g<0>]", text).replace("'", "''")
    return f"'{literal}'"


def refusal(status: int, body: bytes) -> str:
    """Return the status of a refused request and the code of Dataverse's error, if it has one.

    The error's message is left out, because it may have personal data.
    """
    try:
        document: Json = parse_json(body)
    except SourceError:
        document = None
    error = document.get("error") if isinstance(document, dict) else None
    code = error.get("code") if isinstance(error, dict) else None
    known = isinstance(code, str) and _ERROR_CODE.fullmatch(code)
    return f"the server answers {status} ({code})" if known else f"the server answers {status}"
