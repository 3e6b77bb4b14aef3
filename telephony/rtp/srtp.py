"""SRTP and SRTCP (RFC 3711, RFC 7714) of one leg: protect and unprotect packets with libsrtp.

Each of our keys has one libsrtp session until the leg ends. A second session could not continue the
roll-over counter. It would protect two packets with the same key and index, which SRTP forbids.

A new key of the peer replaces its old key at the first packet that is authentic with the new key.
Until then both are tried, because packets with the old key are still on the network.

The roll-over counter is the number of times that the 16-bit sequence number has started again at 0.
A receiver does not know the counter if it missed the stream's beginning, or after a change of the
key: most senders then reset it, although RFC 3711 section 3.3.1 says that it continues. If the
counter is not 0 at a peer's first packet, `_find_rollover` searches for it.
"""

import secrets
from collections.abc import Callable
from typing import Final

from pylibsrtp import Error, Policy, Session

from telephony.errors import RtpParseError, SrtpError
from telephony.rtp.rtcp import replace_ssrcs
from telephony.sdp.crypto import KeyPair, MasterKey, Suite

_PROFILES: Final = {
    Suite.AES_CM_128_HMAC_SHA1_80: Policy.SRTP_PROFILE_AES128_CM_SHA1_80,
    Suite.AES_CM_128_HMAC_SHA1_32: Policy.SRTP_PROFILE_AES128_CM_SHA1_32,
    Suite.AEAD_AES_128_GCM: Policy.SRTP_PROFILE_AEAD_AES_128_GCM,
    Suite.AEAD_AES_256_GCM: Policy.SRTP_PROFILE_AEAD_AES_256_GCM,
}
_TAGS: Final = {Suite.AES_CM_128_HMAC_SHA1_80: 10, Suite.AES_CM_128_HMAC_SHA1_32: 4}
"""Octets of the authentication tag of an SRTP packet, after the MKI.

The suites with GCM are not here, because their tag comes before the MKI.
"""
_CONTROL_TAG: Final = 10
"""Octets of the authentication tag of SRTCP with a suite in `_TAGS` (RFC 4568 section 6.2)."""
_MOST_SOURCES: Final = 256
"""The most SSRCs in one session; each uses memory in libsrtp until the session ends."""
_KEPT_SESSIONS: Final = 8
"""The most keys of one peer whose sessions are kept. A re-INVITE can bring a new key."""
_STALE: Final = 5
"""If libsrtp refuses this many consecutive packets as too old, their source gets a new SSRC."""
_SEARCHES: Final = 50
"""The most searches for a roll-over counter with one key. A search takes 0.5 ms."""
_FORGED: Final = "authentication"
"""libsrtp's error text has this word only for a packet that is not authentic."""
_SMALLEST: Final = 12
_MOST_WRAPS: Final = 32
"""The largest roll-over counter that is tried: about twelve hours at 50 packets a second."""
_LEAP: Final = 0x7000
"""The step between the sequence numbers of search packets.

With a step of 32768 (half of the 65536 sequence numbers) or more, libsrtp would take the packet for
an old one.
"""
_BEHIND: Final = 0x1000
"""The last search packet is this many sequence numbers before the received packet.

So libsrtp does not refuse the received packet as repeated.
"""


def _session(key: MasterKey, kind: int) -> Session:
    """Return a session for any SSRC; `kind` is `Policy.SSRC_ANY_OUTBOUND` or `_INBOUND`."""
    return Session(Policy(key=key.material, ssrc_type=kind, srtp_profile=_PROFILES[key.suite]))


class _Sender:
    """Protects the packets of a leg with one of our keys.

    libsrtp refuses a source's packets as too old if the source started with new sequence numbers,
    or continued to send while the peer was on hold. The source then gets a new SSRC. With `rename`,
    every source gets a new SSRC from its first packet. The peer may still have a roll-over counter
    for the original SSRC, which we do not know.
    """

    def __init__(self, key: MasterKey, *, rename: bool) -> None:
        self._session = _session(key, Policy.SSRC_ANY_OUTBOUND)
        self._protect: Callable[[bytes], bytes] = self._session.protect
        self._rename = rename
        self._own: set[bytes] = set()
        """The SSRCs of sources whose packets keep their original SSRC."""
        self._assigned: dict[bytes, bytes] = {}
        """Maps the original SSRC of a source to its new SSRC."""
        self._original: dict[bytes, bytes] = {}
        """The reverse of `_assigned`."""
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
        if self._streams >= _MOST_SOURCES:
            raise SrtpError("too many sources for one call")
        self._streams += 1

    def _on_stale(self, data: bytes) -> bytes:
        """Protect again, with a new SSRC, a packet that libsrtp has refused as too old.

        Raises `SrtpError` before the `_STALE`th consecutive refusal, or if protection fails again.
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
        """Return the peer's RTCP with the original SSRCs in place of the new ones.

        RTCP that cannot be read is returned as it is.
        """
        try:
            return replace_ssrcs(data, self._original) if self._original else data
        except RtpParseError:
            return data


class _Receiver:
    """Unprotects the packets of a leg with one of the peer's keys."""

    def __init__(self, key: MasterKey) -> None:
        self.key = key
        self._session = _session(key, Policy.SSRC_ANY_INBOUND)
        self._unprotect: Callable[[bytes], bytes] = self._session.unprotect
        self._sources: set[bytes] = set()
        self._simple_sources: set[bytes] = set()
        """The SSRCs whose roll-over counter was 0 at the first packet; empty for a key with MKI."""
        self._wrapped: dict[bytes, Session] = {}
        """The sessions of the SSRCs whose roll-over counter was not 0 at the first packet."""
        self._searches = 0

    def unprotect(self, data: bytes) -> bytes:
        if data[8:12] not in self._simple_sources:
            return self._unprotect_first(data)
        try:
            return self._unprotect(data)
        except (Error, ValueError) as error:
            raise SrtpError(str(error)) from None

    def _unprotect_first(self, data: bytes) -> bytes:
        """Unprotect a packet whose SSRC is not in `_simple_sources`."""
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
        """Find the roll-over counter of a source's first packet; return the unprotected packet.

        None if no counter fits, or if there are too many sources or searches.
        """
        full = len(self._sources) >= _MOST_SOURCES and source not in self._sources
        if full or self._searches >= _SEARCHES:
            return None
        self._searches += 1
        found = _find_rollover(self.key, data)
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


def _find_rollover(key: MasterKey, packet: bytes) -> tuple[Session, bytes] | None:
    """Return the session with the roll-over counter of this SRTP packet, and the RTP packet.

    None means that the packet is not authentic with any counter from 1 to `_MOST_WRAPS`.

    libsrtp has no function that sets a receiving session's counter. So a sending session with the
    same key makes search packets, whose sequence numbers grow in large steps, and the receiving
    session reads them. Each time the session's counter has grown by one, the received packet is
    tried. The search packets never leave this function.
    """
    sender = _session(key, Policy.SSRC_ANY_OUTBOUND)
    receiver = _session(key, Policy.SSRC_ANY_INBOUND)
    sequence, index = int.from_bytes(packet[2:4]), -_LEAP
    for wraps in range(1, _MOST_WRAPS + 1):
        until = (wraps << 16 | sequence) - _BEHIND
        while index < until:
            index = min(index + _LEAP, until)
            number = (index & 0xFFFF).to_bytes(2)
            leap = b"\x80\x00" + number + bytes(4) + packet[8:12]
            receiver.unprotect(sender.protect(leap))
        try:
            return receiver, receiver.unprotect(packet)
        except (Error, ValueError):
            continue
    return None


def _without(data: bytes, mki: bytes, tag: int) -> bytes:
    end = len(data) - tag
    start = end - len(mki)
    if start < _SMALLEST or data[start:end] != mki:
        raise SrtpError("the packet's MKI is not the key's MKI")
    return data[:start] + data[end:]


class Protection:
    """A leg's SRTP in both directions, with the most recently agreed keys.

    Attributes:
        protect: Turns RTP into SRTP. Raises `SrtpError` if the packet is malformed or too long, was
            sent before, is older than libsrtp's replay window, or has an SSRC beyond the limit.
        unprotect: Turns SRTP into RTP. Raises `SrtpError` if the packet is malformed or not
            authentic, was received before, is too old, or has an SSRC beyond the limit.
    """

    def __init__(self, keys: KeyPair, *, rename: bool = False) -> None:
        """Create the sessions for these keys.

        With `rename`, every source gets a new SSRC. A leg that had a `Protection` in an earlier
        process needs this, because the roll-over counters are lost.
        """
        self._rename = rename
        self._senders: dict[MasterKey, _Sender] = {}
        self._receivers: dict[MasterKey, _Receiver] = {}
        self._receiver = self._receiver_of(keys.theirs)
        self._next: _Receiver | None = None
        """The receiver for the peer's new key, until the first packet that is authentic with it."""
        self.rekey(keys)

    def rekey(self, keys: KeyPair) -> None:
        """Use newly agreed keys. A key that already has a session continues that session."""
        self._sender = self._sender_of(keys.ours)
        self.protect: Callable[[bytes], bytes] = self._sender.protect
        wanted = self._receiver_of(keys.theirs)
        self._next = wanted if wanted is not self._receiver else None
        self.unprotect: Callable[[bytes], bytes] = (
            self._receiver.unprotect if self._next is None else self._unprotect_either_key
        )

    def _unprotect_either_key(self, data: bytes) -> bytes:
        """Unprotect with the new or old key; the first packet with the new key ends the old one."""
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
        """Return compound RTCP as SRTCP; raise SrtpError if it is not RTCP, or too long."""
        return self._sender.protect_control(data)

    def unprotect_control(self, data: bytes) -> bytes:
        """Return the RTCP in SRTCP; raise SrtpError if it is not authentic, or a repetition."""
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
        """Return the receiver for this key. Beyond `_KEPT_SESSIONS`, drop the least recent one."""
        found = self._receivers.pop(key, None) or _Receiver(key)
        self._receivers[key] = found
        if len(self._receivers) > _KEPT_SESSIONS:
            del self._receivers[next(iter(self._receivers))]
        return found
