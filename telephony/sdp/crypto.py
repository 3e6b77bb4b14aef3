"""SRTP keys in session descriptions (SDES, RFC 4568; the suites of RFC 4568 and RFC 7714).

A key protects the media that the *writer* of the description sends. We ignore an a=crypto line that
we cannot use, so that a later line can be chosen. No `repr` in this module shows a key.
"""

import base64
import binascii
import re
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from telephony.errors import SdpParseError

_CRYPTO = re.compile(r"([0-9]{1,9})[ \t]+([A-Za-z0-9_]+)[ \t]+(\S+)((?:[ \t]+\S+)*)[ \t]*")
_LIFETIME = re.compile(r"2\^[0-9]{1,2}|[0-9]{1,15}")
_MKI = re.compile(r"([0-9]{1,38}):([0-9]{1,3})")
_HARMLESS = re.compile(r"WSH=[0-9]{1,9}|-.*", re.IGNORECASE)
_MOST_PACKETS = 2**48
"""The most packets that one master key may protect (RFC 3711 section 9.2)."""


class Srtp(StrEnum):
    """The rule for a leg's media: unprotected only, SRTP only, or both allowed."""

    OFF = "off"
    OPTIONAL = "optional"
    """Plain RTP and SRTP: the peer's offer decides, and our own first offer is plain RTP."""
    REQUIRED = "required"


class Suite(StrEnum):
    """The SDES names of the SRTP suites (cipher and authentication), the preferred suite first.

    With AES-GCM, a packet takes less time than with HMAC-SHA1.
    """

    AEAD_AES_128_GCM = "AEAD_AES_128_GCM"
    AEAD_AES_256_GCM = "AEAD_AES_256_GCM"
    AES_CM_128_HMAC_SHA1_80 = "AES_CM_128_HMAC_SHA1_80"
    AES_CM_128_HMAC_SHA1_32 = "AES_CM_128_HMAC_SHA1_32"

    @property
    def is_gcm(self) -> bool:
        """True if the suite's cipher is AES-GCM (RFC 7714)."""
        return self in {Suite.AEAD_AES_128_GCM, Suite.AEAD_AES_256_GCM}

    @property
    def key_bytes(self) -> int:
        """The octets of the master key and the master salt together."""
        return {Suite.AEAD_AES_256_GCM: 44, Suite.AEAD_AES_128_GCM: 28}.get(self, 30)


_SUITES = {suite.value: suite for suite in Suite}


@dataclass(frozen=True, slots=True)
class MasterKey:
    """An SRTP master key with its salt and its suite. Its `repr` does not show the key.

    Raises `SdpParseError` (488) if `material` does not have the suite's `key_bytes`.
    """

    suite: Suite
    material: bytes = field(repr=False)
    mki: bytes = field(default=b"", repr=False)
    """The key's id in each packet (RFC 3711 section 3.1); empty if the packets have no MKI."""

    def __post_init__(self) -> None:
        if len(self.material) != self.suite.key_bytes:
            raise SdpParseError("an SRTP key does not have its suite's length", status=488)


@dataclass(frozen=True, slots=True)
class KeyPair:
    """Our key and the peer's, of the same suite. Each side encrypts with its own key."""

    ours: MasterKey
    theirs: MasterKey


@dataclass(frozen=True, slots=True)
class Crypto:
    """One a=crypto line that we can use."""

    tag: int
    key: MasterKey

    @classmethod
    def parse(cls, value: str) -> "Crypto":
        """Read the value of an a=crypto line. Names may have any case (RFC 4568 9.2, RFC 5234 2.3).

        The key's lifetime is checked but has no other effect: the side that wrote it must change
        the key in time. Raises `SdpParseError` (488) if the line is malformed, or has an unknown
        suite, several keys or a session parameter that we do not support.
        """
        found = _CRYPTO.fullmatch(value.strip())
        if found is None:
            raise SdpParseError("an a=crypto is not 'tag suite inline:key'", status=488)
        tag, name, keys, parameters = found.groups()
        suite = _SUITES.get(name.upper())
        if suite is None:
            raise SdpParseError("an SRTP suite that is not supported", status=488)
        if not all(_HARMLESS.fullmatch(each) for each in parameters.split()):
            raise SdpParseError("an SRTP session parameter that is not supported", status=488)
        return cls(int(tag), _key(suite, keys))

    def __str__(self) -> str:
        return f"{self.tag} {self.key.suite} inline:{base64.b64encode(self.key.material).decode()}"


def _key(suite: Suite, text: str) -> MasterKey:
    """Return the key in `inline:key||salt[|lifetime][|MKI:length]`, or raise SdpParseError."""
    method, colon, rest = text.partition(":")
    if method.lower() != "inline" or not colon or ";" in rest:
        raise SdpParseError("an a=crypto does not have exactly one inline key", status=488)
    encoded, *more = rest.split("|")
    mki = b""
    if more and ":" in more[-1]:
        mki = _mki(more.pop())
    if len(more) > 1 or not all(_is_lifetime(each) for each in more):
        raise SdpParseError("an SRTP key's lifetime cannot be read", status=488)
    bare = encoded.rstrip("=")
    try:
        material = base64.b64decode(bare + "=" * (-len(bare) % 4), validate=True)
    except (binascii.Error, ValueError):
        raise SdpParseError("an SRTP key is not base64", status=488) from None
    return MasterKey(suite, material, mki)


def _is_lifetime(text: str) -> bool:
    if not _LIFETIME.fullmatch(text):
        return False
    power = text.startswith("2^")
    packets = 1 << int(text[2:]) if power else int(text)
    return 0 < packets <= _MOST_PACKETS


def _mki(text: str) -> bytes:
    found = _MKI.fullmatch(text)
    number, length = (int(group) for group in found.groups()) if found else (0, 0)
    if not 0 < length <= 128 or number >= 1 << 8 * length:
        raise SdpParseError("an SRTP key's MKI cannot be read", status=488)
    return number.to_bytes(length)


def parse_crypto_lines(values: Iterable[str]) -> tuple[Crypto, ...]:
    """Return the a=crypto lines in `values` that we can use, in the sequence of `values`."""
    found = []
    for value in values:
        try:
            found.append(Crypto.parse(value))
        except SdpParseError:
            continue  # We ignore a line that we cannot use (RFC 4568 section 7.1.2).
    return tuple(found)


def fresh_keys() -> Mapping[Suite, MasterKey]:
    """Return new random keys, one for each suite, for the whole life of a leg."""
    return {suite: MasterKey(suite, secrets.token_bytes(suite.key_bytes)) for suite in Suite}


def key_pair(ours: Iterable[Crypto], theirs: Iterable[Crypto]) -> KeyPair | None:
    """Return the keys of the first lines with equal tag and suite (RFC 4568 7.1.3), or None."""
    sent = {(line.tag, line.key.suite): line.key for line in ours}
    for line in theirs:
        mine = sent.get((line.tag, line.key.suite))
        if mine is not None:
            return KeyPair(mine, line.key)
    return None
