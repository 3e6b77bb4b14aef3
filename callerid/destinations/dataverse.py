"""Contact notes in Microsoft Dataverse: each is a phone call in the timeline of the person.

The phone call has the id of the note, so no attempt can make a second one. A completed phone call
is read-only. So it is reopened for each later version, and completed again.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Final
from uuid import UUID

from callerid.errors import NoteRefusedError, SourceError
from callerid.json_client import HttpAnswer, JsonClient, JsonRequest
from callerid.note_destination import EarlierDelivery, OutgoingNote
from callerid.note_text import started_at, subject_of, text_of
from callerid.sources.dataverse import API, ODATA, refusal
from callerid.templates import Json

_PARTIES: Final = "phonecall_activity_parties"
_OPEN: Final[Mapping[str, Json]] = {"statecode": 0, "statuscode": 1}
_RECEIVED: Final[Mapping[str, Json]] = {"statecode": 1, "statuscode": 4}
"""A phone call that is completed, and that came in."""
_SENDER: Final = 1
"""The `participationtypemask` of the party who called."""
_KINDS: Final = {"contacts": "contact", "accounts": "account"}
_LONGEST_SUBJECT: Final = 200
_REFUSED: Final = frozenset({400, 404, 405, 409, 410, 412, 413, 415, 422})
"""The statuses after which another attempt would have the same result.

404 means that the phone call, or the person, was deleted.
"""
_NOT_ALLOWED: Final = 403
_EXISTS: Final = 412


class DataverseNotes:
    """Writes contact notes as phone calls.

    Args:
        name: The name of the directory.
        url: The address of the environment.
        table: The table of the people: "contacts" or "accounts".
        client: The client that sends the requests.
        purpose_column: The column of the phone call that gets the purpose's code; "" if none does.
    """

    def __init__(
        self, name: str, url: str, table: str, client: JsonClient, *, purpose_column: str = ""
    ) -> None:
        self.name = name
        self._api = f"{url.rstrip('/')}{API}"
        self._table = table
        self._client = client
        self._purpose_column = purpose_column

    async def deliver(self, note: OutgoingNote, earlier: EarlierDelivery) -> str:
        """Write a version of a note, and return the id of its phone call.

        Raises:
            NoteRefusedError: Dataverse does not accept the note, or the phone call was deleted.
            SourceBusyError: Dataverse asks for a rest.
            SourceError: Dataverse cannot be reached.
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
        """Return the reference to the person; "" if there is none."""
        if not note.person_id:
            return ""
        try:
            return f"/{self._table}({UUID(note.person_id)})"
        except ValueError:
            raise NoteRefusedError("the person has no id of Dataverse") from None

    def _content(self, note: OutgoingNote) -> dict[str, Json]:
        content: dict[str, Json] = {
            "subject": subject_of(note)[:_LONGEST_SUBJECT],
            "description": text_of(note),
            "directioncode": False,
            "actualstart": started_at(note),
        }
        if self._purpose_column:
            code = note.purpose_code
            numeric = code.isascii() and code.isdecimal()
            content[self._purpose_column] = int(code) if numeric else code or None
        return content

    async def _create(
        self, record: str, content: dict[str, Json], person: str, parties: list[Json]
    ) -> bool:
        """Create a phone call that is open; return False if there is one already."""
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
        """Send a request on the condition that the record exists or does not.

        Raises:
            NoteRefusedError: The status is none of `expected`, and would be the same again.
            SourceError: Another attempt may be accepted, for example with more privileges.
        """
        headers = {**ODATA, condition: "*"} if condition else ODATA
        request = JsonRequest(method, f"{self._api}{record}", headers=headers, body=body)
        answer = await self._client.exchange(request, _REFUSED | {_NOT_ALLOWED})
        if answer.status < 400 or answer.status in expected:
            return answer
        reason = refusal(answer.status, answer.body)
        if answer.status in _REFUSED:
            raise NoteRefusedError(reason)
        raise SourceError(reason)


def _parties(person: str) -> list[Json]:
    """Return the parties of a phone call: the person who called, if one is known."""
    if not person:
        return []
    kind = _KINDS[person[1:].partition("(")[0]]
    return [{f"partyid_{kind}@odata.bind": person, "participationtypemask": _SENDER}]
