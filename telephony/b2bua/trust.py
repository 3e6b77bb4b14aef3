"""The kinds of peer, and what the settings allow a trusted peer to send beyond the usual.

`headers.py` and `passed_requests.py` apply these rules.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class PeerKind(StrEnum):
    """The kinds of peer, by how far we believe what a peer sends."""

    OUTSIDE = "outside"
    """A trunk, PBX or target that is not trusted. Anybody may be behind it."""
    TRUSTED = "trusted"
    """A trusted trunk or PBX. It is inside the trust domain (RFC 3325)."""
    PHONE = "phone"
    """One of our own phones.

    It is inside the trust domain, but we do not believe the names that it writes. It shows texts to
    a person, and a caller must not be able to control it.
    """


@dataclass(frozen=True, slots=True)
class Grants:
    """The header fields that the settings allow one trusted peer to send to parties inside.

    By default, a peer may send none of them.
    """

    headers: frozenset[str] = frozenset()
    """The lookup names of further header fields, such as "x-queue"."""
    ring_tones: tuple[str, ...] = ()
    """The ring tones that the peer may choose in Alert-Info, such as "Bellcore-dr2"."""
    auto_answer: bool = False
    """True if the peer may make a phone answer by itself, or control a phone by a NOTIFY."""

    messages: bool = False
    """True if the peer may show texts on a phone by a MESSAGE within a call."""


NO_GRANTS = Grants()
