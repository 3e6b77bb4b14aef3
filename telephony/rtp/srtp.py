"""SRTP and SRTCP (RFC 3711, RFC 7714) of one leg, by libsrtp: packets in, packets out.

A session lives as long as its key is in use, whatever is negotiated meanwhile: libsrtp cannot be
told a roll-over counter, and one key must never protect two packets of one index. So a key that
comes back finds its session again, and our own keys stay the same as long as the leg lives. A peer
whose counter is not 0 when we first hear it is found all the same (`rollover`).

A new key of the peer's counts from the first packet that is authentic under it; until then the
old one holds, since the packets that were on their way have it.
"""

import secrets
from collections.abc import Callable
from typing import Final

from pylibsrtp import Error, Session

from telephony.errors import RtpParseError, SrtpError
from telephony.rtp.rollover import receiving, sending, wrapped
from telephony.rtp.rtcp import renamed
from telephony.sdp.crypto import KeyPair, MasterKey, Suite

_TAGS: Final = {Suite.AES_CM_128_HMAC_SHA1_80: 10, Suite.AES_CM_128_HMAC_SHA1_32: 4}
"""Octets after the MKI in SRTP; in GCM the tag is before it."""
_CONTROL_TAG: Final = 10
"""In SRTCP, of either suite (RFC 4568 section 6.2)."""
_MOST_SOURCES: Final = 256
"""SSRCs in one session; each costs libsrtp some memory for as long as that lives."""
_KEPT_SESSIONS: Final = 8
"""Keys of a peer's whose sessions are kept: its early dialogs', those before a new key."""
_STALE: Final = 5
"""Packets in a row, of an index long gone by, that mean that their source begins anew."""
_SEARCHES: Final = 50
"""For the counter of one key's sources; each costs half a millisecond."""
_FORGED: Final = "authentication"
"""What libsrtp says of a packet that is not authentic, and of no other."""
_SMALLEST: Final = 12


class _Sender:
    """One key of ours, in use.

    A source that begins its sequence anew, or went on while the peer was on hold, would have to
    wait until libsrtp has seen its numbers again: it goes on under another SSRC instead. So does
    every source where `rename` is set: the peer has counted its wraps, and we have not.
    """

    def __init__(self, key: MasterKey, *, rename: bool) -> None:
        self._session = sending(key)
        self._protect: Callable[[bytes], bytes] = self._session.protect
        self._rename = rename
        self._own: set[bytes] = set()
        """Sources that are sent under their own SSRC."""
        self._given: dict[bytes, bytes] = {}
        """Those that have another, and the reverse of it."""
        self._back: dict[bytes, bytes] = {}
        self._streams = 0
        self._stale = 0

    def protect(self, data: bytes) -> bytes:
        if data[8:12] not in self._own:
            data = self._under_its_name(data)
        try:
            protected = self._protect(data)
        except (Error, ValueError) as error:
            if "too old" not in str(error):
                raise SrtpError(str(error)) from None
            protected = self._anew(data)
        self._stale = 0
        return protected

    def _under_its_name(self, data: bytes) -> bytes:
        source = data[8:12]
        name = self._given.get(source)
        if name is None and self._rename:
            name = self._another(source)
        if name is None:
            self._count()
            self._own.add(source)
            return data
        return data[:8] + name + data[12:]

    def _count(self) -> None:
        """Another stream for libsrtp."""
        if self._streams >= _MOST_SOURCES:
            raise SrtpError("more sources than one call has")
        self._streams += 1

    def _anew(self, data: bytes) -> bytes:
        """A packet whose source, as sent, has begun anew if many are like it."""
        self._stale += 1
        if self._stale < _STALE:
            raise SrtpError("a packet that comes far too late")
        sent_as = data[8:12]
        source = self._back.get(sent_as, sent_as)
        self._another(source)
        self._back.pop(sent_as, None)
        self._own.discard(source)
        try:
            return self._protect(self._under_its_name(data[:8] + source + data[12:]))
        except (Error, ValueError) as error:
            raise SrtpError(str(error)) from None

    def _another(self, source: bytes) -> bytes:
        self._count()
        fresh = secrets.token_bytes(4)
        self._given[source] = fresh
        self._back[fresh] = source
        return fresh

    def protect_control(self, data: bytes) -> bytes:
        try:
            out = renamed(data, self._given) if self._given else data
            protected: bytes = self._session.protect_rtcp(out)
        except (Error, ValueError, RtpParseError) as error:
            raise SrtpError(str(error)) from None
        return protected

    def original(self, data: bytes) -> bytes:
        """The peer's RTCP, speaking of sources by their own SSRCs."""
        try:
            return renamed(data, self._back) if self._back else data
        except RtpParseError:
            return data


class _Receiver:
    """One key of the peer's, in use."""

    def __init__(self, key: MasterKey) -> None:
        self.key = key
        self._session = receiving(key)
        self._unprotect: Callable[[bytes], bytes] = self._session.unprotect
        self._sources: set[bytes] = set()
        self._heard: set[bytes] = set()
        """Those whose RTP has been heard and needs nothing but the session."""
        self._wrapped: dict[bytes, Session] = {}
        """Sessions of sources that had wrapped before they were first heard."""
        self._searches = 0

    def unprotect(self, data: bytes) -> bytes:
        if data[8:12] not in self._heard:
            return self._unusual(data)
        try:
            return self._unprotect(data)
        except (Error, ValueError) as error:
            raise SrtpError(str(error)) from None

    def _unusual(self, data: bytes) -> bytes:
        """The first packet of a source, or any packet of one that needs more than the session."""
        if len(data) < _SMALLEST:
            raise SrtpError("shorter than any SRTP packet")
        if self.key.mki:
            data = _without(data, self.key.mki, _TAGS.get(self.key.suite, 0))
        source = data[8:12]
        session = self._wrapped.get(source)
        if session is not None:
            return self._open(data, source, session.unprotect)
        try:
            plain = self._open(data, source, self._unprotect)
        except SrtpError as error:
            found = self._search(data, source) if _FORGED in str(error) else None
            if found is None:
                raise
            return found
        if not self.key.mki:
            self._heard.add(source)
        return plain

    def _search(self, data: bytes, source: bytes) -> bytes | None:
        """A first packet of a source may have wraps behind it."""
        full = len(self._sources) >= _MOST_SOURCES and source not in self._sources
        if full or self._searches >= _SEARCHES:
            return None
        self._searches += 1
        found = wrapped(self.key, data)
        if found is None:
            return None
        self._wrapped[source], plain = found
        self._sources.add(source)
        return plain

    def unprotect_control(self, data: bytes) -> bytes:
        if len(data) < _SMALLEST:
            raise SrtpError("shorter than any SRTCP packet")
        if self.key.mki:
            data = _without(data, self.key.mki, _CONTROL_TAG if self.key.suite in _TAGS else 0)
        return self._open(data, data[4:8], self._session.unprotect_rtcp)

    def _open(self, data: bytes, source: bytes, function: Callable[[bytes], bytes]) -> bytes:
        if source not in self._sources and len(self._sources) >= _MOST_SOURCES:
            raise SrtpError("more sources than one call has")
        try:
            plain = function(data)
        except (Error, ValueError) as error:
            raise SrtpError(str(error)) from None
        self._sources.add(source)
        return plain


def _without(data: bytes, mki: bytes, tag: int) -> bytes:
    end = len(data) - tag
    start = end - len(mki)
    if start < _SMALLEST or data[start:end] != mki:
        raise SrtpError("another MKI than that of the key")
    return data[:start] + data[end:]


class Protection:
    """A leg's SRTP, both ways, by the keys that were agreed on last.

    Attributes:
        protect: makes an RTP packet SRTP. Raises `SrtpError`: it was sent before, is far too late
            or too long.
        unprotect: gives the RTP packet in an SRTP packet. Raises `SrtpError`: it is not the
            peer's, or came before.
    """

    def __init__(self, keys: KeyPair, *, rename: bool = False) -> None:
        """Protect and unprotect by these keys.

        `rename` gives all that is sent other SSRCs than the sources have: for a leg that had
        another `Protection` before, of which nothing is known any more.
        """
        self._rename = rename
        self._senders: dict[MasterKey, _Sender] = {}
        self._receivers: dict[MasterKey, _Receiver] = {}
        self._receiver = self._receiver_of(keys.theirs)
        self._next: _Receiver | None = None
        """The one for the peer's new key, of which no packet has come yet."""
        self.rekey(keys)

    def rekey(self, keys: KeyPair) -> None:
        """Go on with what was agreed on now; keys that stay the same change nothing."""
        self._sender = self._sender_of(keys.ours)
        self.protect: Callable[[bytes], bytes] = self._sender.protect
        wanted = self._receiver_of(keys.theirs)
        self._next = wanted if wanted is not self._receiver else None
        self.unprotect: Callable[[bytes], bytes] = (
            self._receiver.unprotect if self._next is None else self._by_either
        )

    def _by_either(self, data: bytes) -> bytes:
        """By the new key, from the first packet on that is authentic under it; or by the old."""
        fresh = self._next
        if fresh is None:
            return self._receiver.unprotect(data)
        try:
            plain = fresh.unprotect(data)
        except SrtpError:
            return self._receiver.unprotect(data)
        self._receiver, self._next = fresh, None
        self.unprotect = fresh.unprotect
        return plain

    def protect_control(self, data: bytes) -> bytes:
        """An RTCP compound as SRTCP.

        Raises:
            SrtpError: it is none, or too long.
        """
        return self._sender.protect_control(data)

    def unprotect_control(self, data: bytes) -> bytes:
        """The RTCP compound in an SRTCP packet.

        Raises:
            SrtpError: it is not the peer's, or came before.
        """
        try:
            plain = (self._next or self._receiver).unprotect_control(data)
        except SrtpError:
            if self._next is None:
                raise
            plain = self._receiver.unprotect_control(data)
        return self._sender.original(plain)

    def _sender_of(self, key: MasterKey) -> _Sender:
        found = self._senders.get(key)
        if found is None:
            found = self._senders[key] = _Sender(key, rename=self._rename)
        return found

    def _receiver_of(self, key: MasterKey) -> _Receiver:
        """The key's session; the one unused for longest is forgotten when there are too many."""
        found = self._receivers.pop(key, None) or _Receiver(key)
        self._receivers[key] = found
        if len(self._receivers) > _KEPT_SESSIONS:
            del self._receivers[next(iter(self._receivers))]
        return found
