"""The names that a callee's peer gives before its answer, and the name that counts at the answer.

A proxy that forks sends the responses of several parties, each with its own To tag (RFC 3261
section 12.1.2). A PBX can also divert the call, such as to voicemail. So a name counts only if the
dialog that answers has it and its party has not diverted the call. If another party was named than
the one that answers, that one is unknown.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from telephony.b2bua.headers import ANONYMOUS, identity_of
from telephony.errors import SipParseError
from telephony.sip.message.header_values import NameAddr
from telephony.sip.message.messages import Request, Response

FORWARDED: Final = 181
"""Status for "Call Is Being Forwarded": another party rings now than before."""


@dataclass(frozen=True, slots=True)
class StatedName:
    """A name that a message gives to its sender, as in `IdentityChanged`."""

    identity: NameAddr
    source: str
    message: Request | Response

    @property
    def asserted(self) -> bool:
        """False if the name is only the address in a Contact, which does not say who it is."""
        return self.source != "Contact"

    @property
    def user(self) -> str:
        """The user part of the name."""
        return self.identity.uri.dialled


class EarlyNames:
    """The newest name in each early dialog of one leg, and the parties that have diverted it."""

    __slots__ = ("_diverted", "_names")

    def __init__(self) -> None:
        """Start without a name."""
        self._names: dict[str, StatedName] = {}
        """By the tag of the peer; a Contact does not replace an asserted name."""
        self._diverted: set[str] = set()
        """The user parts of the parties that have diverted the call."""

    def forget(self) -> None:
        """Forget all names, because another address is rung, or because the leg has answered."""
        self._names.clear()
        self._diverted.clear()

    def learn(self, message: Request | Response) -> None:
        """Store the name in a response to the leg's INVITE, or in a request of an early dialog."""
        sender = message.from_ if isinstance(message, Request) else message.to
        tag = sender.tag or ""
        self._diverted |= diverted_from(message)
        before = self._names.get(tag)
        if isinstance(message, Response) and message.status == FORWARDED:
            self._names.pop(tag, None)
            if before is not None and before.asserted:
                self._diverted.add(before.user)
            return
        found = identity_of(message)
        if found is None:
            return
        name = StatedName(*found, message)
        if name.asserted or before is None or not before.asserted:
            self._names[tag] = name

    def at_answer(self, response: Response) -> StatedName | None:
        """Return the name of the party that sent a 2xx; None if no name was given.

        It is anonymous, with `source` "", if the peer has named only another party.
        """
        self.learn(response)
        own = self._names.get(response.to.tag or "")
        if own is not None and own.asserted and own.user not in self._diverted:
            return own
        if self._diverted or any(name.asserted for name in self._names.values()):
            return StatedName(ANONYMOUS, "", response)
        return own


def diverted_from(message: Request | Response) -> frozenset[str]:
    """Return the user parts of the parties from whom a call was diverted.

    They are in Diversion (RFC 5806), and in History-Info entries with a Reason (RFC 7044).
    """
    found = set()
    for header in ("Diversion", "History-Info"):
        for value in message.headers.get_all(header):
            try:
                uris = [entry.uri for entry in NameAddr.parse_list(value)]
            except SipParseError:
                continue
            found |= {
                uri.dialled
                for uri in uris
                if header == "Diversion" or any(key.lower() == "reason" for key, _ in uri.headers)
            }
    return frozenset(found)
