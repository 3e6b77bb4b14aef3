"""SRTP and SRTCP (RFC 3711, RFC 7714) of one leg: protect and unprotect packets with libsrtp.

For each key, this module has one libsrtp session. A new negotiation does not end the session,
because the two sides may agree on the same key again. The session is then used again. A new session
could not continue the roll-over counter of the earlier session, so it would protect two packets
with the same key and the same index. SRTP forbids this. Our own keys do not change until the leg
ends. If a peer's roll-over counter is not 0 at its first packet, the module `rollover` finds the
counter.

A new key of the peer is in force from the first packet that is authentic with this key. Until then
the old key is used, because some packets with the old key are still on the network.
"""

import secrets
from collections.abc import Callable
from typing import Final

from pylibsrtp import Error, Session

from telephony.errors import RtpParseError, SrtpError
from telephony.rtp.rollover import find_rollover, inbound_session, outbound_session
from telephony.rtp.rtcp import replace_ssrcs
from telephony.sdp.crypto import KeyPair, MasterKey, Suite

_TAGS: Final = {Suite.AES_CM_128_HMAC_SHA1_80: 10, Suite.AES_CM_128_HMAC_SHA1_32: 4}
"""The number of octets in the authentication tag of an SRTP packet. The tag comes after the MKI.

The suites with GCM are not in this table, because their tag comes before the MKI.
"""
_CONTROL_TAG: Final = 10
"""The number of octets in the authentication tag of an SRTCP packet with a suite in `_TAGS`.

The number is from RFC 4568 section 6.2.
"""
_MOST_SOURCES: Final = 256
"""The largest number of SSRCs in one session.

Each SSRC uses memory in libsrtp until the session ends.
"""
_KEPT_SESSIONS: Final = 8
"""The largest number of keys of one peer for which we keep a session.

A peer has several keys if it has several early dialogs, or if it has changed its key.
"""
_STALE: Final = 5
"""If libsrtp refuses this many consecutive packets as too old, their source gets a new SSRC."""
_SEARCHES: Final = 50
"""The largest number of searches for a roll-over counter with one key. A search takes 0.5 ms."""
_FORGED: Final = "authentication"
"""A word in libsrtp's error text for a packet that is not authentic.

No other error text of libsrtp contains this word.
"""
_SMALLEST: Final = 12


class _Sender:
    """Protects the packets of a leg with one of our keys.

    libsrtp refuses the packets of a source as too old in two cases: the source started with new
    sequence numbers, or it continued to send while the peer was on hold. We then send the packets
    of this source with a new SSRC.

    If `rename` is true, every source gets a new SSRC from its first packet. This is necessary if
    the peer still has a roll-over counter for the source's original SSRC, and we do not know the
    value of that counter.
    """

    def __init__(self, key: MasterKey, *, rename: bool) -> None:
        self._session = outbound_session(key)
        self._protect: Callable[[bytes], bytes] = self._session.protect
        self._rename = rename
        self._own: set[bytes] = set()
        """The SSRCs of sources whose packets keep their original SSRC."""
        self._assigned: dict[bytes, bytes] = {}
        """A table from the original SSRC of a source to its new SSRC.

        It contains only the sources that are sent with a new SSRC.
        """
        self._original: dict[bytes, bytes] = {}
        """The reverse of `_assigned`: a table from the new SSRC to the original SSRC."""
        self._streams = 0
        self._stale = 0

    def protect(self, data: bytes) -> bytes:
        if data[8:12] not in self._own:
            data = self._with_assigned_ssrc(data)
        try:
            protected = self._protect(data)
        except (Error, ValueError) as error:
            if "too old" not in str(error):
                raise SrtpError(str(error)) from None
            protected = self._on_stale(data)
        self._stale = 0
        return protected

    def _with_assigned_ssrc(self, data: bytes) -> bytes:
        source = data[8:12]
        name = self._assigned.get(source)
        if name is None and self._rename:
            name = self._assign_ssrc(source)
        if name is None:
            self._count()
            self._own.add(source)
            return data
        return data[:8] + name + data[12:]

    def _count(self) -> None:
        """Count a new SSRC.

        Raises:
            SrtpError: `_MOST_SOURCES` SSRCs have already been counted.
        """
        if self._streams >= _MOST_SOURCES:
            raise SrtpError("too many sources for one call")
        self._streams += 1

    def _on_stale(self, data: bytes) -> bytes:
        """Handle a packet that libsrtp refuses as too old.

        If libsrtp has refused fewer than `_STALE` packets one after another, the packet is lost. If
        it has refused `_STALE` packets, the source of the packet gets a new SSRC, and the packet is
        protected with the new SSRC.

        Raises:
            SrtpError: The packet is lost, or it cannot be protected with the new SSRC.
        """
        self._stale += 1
        if self._stale < _STALE:
            raise SrtpError("the packet is too late")
        sent_as = data[8:12]
        source = self._original.get(sent_as, sent_as)
        self._assign_ssrc(source)
        self._original.pop(sent_as, None)
        self._own.discard(source)
        try:
            return self._protect(self._with_assigned_ssrc(data[:8] + source + data[12:]))
        except (Error, ValueError) as error:
            raise SrtpError(str(error)) from None

    def _assign_ssrc(self, source: bytes) -> bytes:
        self._count()
        fresh = secrets.token_bytes(4)
        self._assigned[source] = fresh
        self._original[fresh] = source
        return fresh

    def protect_control(self, data: bytes) -> bytes:
        try:
            out = replace_ssrcs(data, self._assigned) if self._assigned else data
            protected: bytes = self._session.protect_rtcp(out)
        except (Error, ValueError, RtpParseError) as error:
            raise SrtpError(str(error)) from None
        return protected

    def original(self, data: bytes) -> bytes:
        """Return the peer's RTCP; each SSRC that we assigned is replaced by the original one.

        If the RTCP cannot be read, it is returned unchanged.
        """
        try:
            return replace_ssrcs(data, self._original) if self._original else data
        except RtpParseError:
            return data


class _Receiver:
    """Unprotects the packets of a leg with one of the peer's keys."""

    def __init__(self, key: MasterKey) -> None:
        self.key = key
        self._session = inbound_session(key)
        self._unprotect: Callable[[bytes], bytes] = self._session.unprotect
        self._sources: set[bytes] = set()
        self._simple_sources: set[bytes] = set()
        """The SSRCs whose packets need no special handling.

        Their packets have no MKI, and their roll-over counter was 0 at the first packet.
        """
        self._wrapped: dict[bytes, Session] = {}
        """A table from an SSRC to the session of this source.

        It contains the sources whose roll-over counter was not 0 at the first packet.
        """
        self._searches = 0

    def unprotect(self, data: bytes) -> bytes:
        if data[8:12] not in self._simple_sources:
            return self._unprotect_first(data)
        try:
            return self._unprotect(data)
        except (Error, ValueError) as error:
            raise SrtpError(str(error)) from None

    def _unprotect_first(self, data: bytes) -> bytes:
        """Unprotect a packet whose SSRC is not in `_simple_sources`.

        It is the first packet of its source, or has an MKI, or the roll-over counter of its source
        did not begin with 0.
        """
        if len(data) < _SMALLEST:
            raise SrtpError("too short for an SRTP packet")
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
            self._simple_sources.add(source)
        return plain

    def _search(self, data: bytes, source: bytes) -> bytes | None:
        """Find the roll-over counter of the packet `data`, and return the unprotected packet.

        `data` is the first packet of a source whose roll-over counter is not 0. Return None if the
        counter is not found. Also return None, without a search, if this key already has
        `_MOST_SOURCES` sources, or if `_SEARCHES` searches were already made with this key.
        """
        full = len(self._sources) >= _MOST_SOURCES and source not in self._sources
        if full or self._searches >= _SEARCHES:
            return None
        self._searches += 1
        found = find_rollover(self.key, data)
        if found is None:
            return None
        self._wrapped[source], plain = found
        self._sources.add(source)
        return plain

    def unprotect_control(self, data: bytes) -> bytes:
        if len(data) < _SMALLEST:
            raise SrtpError("too short for an SRTCP packet")
        if self.key.mki:
            data = _without(data, self.key.mki, _CONTROL_TAG if self.key.suite in _TAGS else 0)
        return self._open(data, data[4:8], self._session.unprotect_rtcp)

    def _open(self, data: bytes, source: bytes, function: Callable[[bytes], bytes]) -> bytes:
        if source not in self._sources and len(self._sources) >= _MOST_SOURCES:
            raise SrtpError("too many sources for one call")
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
        raise SrtpError("the MKI is not that of the key")
    return data[:start] + data[end:]


class Protection:
    """A leg's SRTP in both directions, with the most recently agreed keys.

    Attributes:
        protect: Turns an RTP packet into an SRTP packet. Raises `SrtpError` if the packet was sent
            before, is too long, or is older than the replay window of libsrtp.
        unprotect: Turns an SRTP packet into an RTP packet. Raises `SrtpError` if the packet is not
            authentic, or was received before.
    """

    def __init__(self, keys: KeyPair, *, rename: bool = False) -> None:
        """Create the sessions for these keys.

        If `rename` is true, every source is sent with a new SSRC. This is necessary for a leg that
        had a `Protection` in an earlier process, because the roll-over counters of that earlier
        `Protection` are lost.
        """
        self._rename = rename
        self._senders: dict[MasterKey, _Sender] = {}
        self._receivers: dict[MasterKey, _Receiver] = {}
        self._receiver = self._receiver_of(keys.theirs)
        self._next: _Receiver | None = None
        """The receiver for a new key of the peer, until the first packet is authentic with this
        key.

        None if there is no new key.
        """
        self.rekey(keys)

    def rekey(self, keys: KeyPair) -> None:
        """Use newly agreed keys.

        If a key was used before on this leg, its earlier session is used again.
        """
        self._sender = self._sender_of(keys.ours)
        self.protect: Callable[[bytes], bytes] = self._sender.protect
        wanted = self._receiver_of(keys.theirs)
        self._next = wanted if wanted is not self._receiver else None
        self.unprotect: Callable[[bytes], bytes] = (
            self._receiver.unprotect if self._next is None else self._unprotect_either_key
        )

    def _unprotect_either_key(self, data: bytes) -> bytes:
        """Unprotect a packet with the new key or the old key of the peer.

        After the first packet that is authentic with the new key, the old key is not tried again.
        """
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
        """Return a compound RTCP packet as an SRTCP packet.

        Raises:
            SrtpError: The data is not RTCP, or is too long.
        """
        return self._sender.protect_control(data)

    def unprotect_control(self, data: bytes) -> bytes:
        """Return the compound RTCP packet in an SRTCP packet.

        Raises:
            SrtpError: The packet is not authentic, or was received before.
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
        """Return the receiver for this key.

        If there are then more than `_KEPT_SESSIONS` receivers, delete the least recently used one.
        """
        found = self._receivers.pop(key, None) or _Receiver(key)
        self._receivers[key] = found
        if len(self._receivers) > _KEPT_SESSIONS:
            del self._receivers[next(iter(self._receivers))]
        return found
