"""The kinds of peer, and what the settings allow a trusted peer to send beyond the usual."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class PeerKind(StrEnum):
    """The kinds of peer, by how far we believe what a peer sends."""

    OUTSIDE = "outside"
    """A trunk, PBX or target that is not trusted. Anybody may be behind it."""
    TRUSTED = "trusted"
    """A trusted trunk or PBX, inside the trust domain (RFC 3325)."""
    PHONE = "phone"
    """One of our own phones, inside the trust domain.

    We do not believe the names that it writes. It shows texts to a person, and a caller must not be
    able to control it.
    """


@dataclass(frozen=True, slots=True)
class Grants:
    """The fields that one trusted peer may send to parties inside; by default none."""

    headers: frozenset[str] = frozenset()
    """The lookup names of further header fields, such as "x-queue"."""
    ring_tones: tuple[str, ...] = ()
    """The ring tones that the peer may choose in Alert-Info, such as "Bellcore-dr2"."""
    auto_answer: bool = False
    """True if the peer may make a phone answer by itself, or control a phone by a NOTIFY."""

    messages: bool = False
    """True if the peer may show texts on a phone by a MESSAGE within a call."""


NO_GRANTS = Grants()
