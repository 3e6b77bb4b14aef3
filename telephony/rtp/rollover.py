"""libsrtp's sessions, and how one is brought to a roll-over counter that it cannot be told.

Who joins a stream late, or after it was given a new key, does not know how often its sequence
number has wrapped (RFC 3711 section 3.3.1: the counter is not reset by a new key, though most do).
A session of the same key that sends to ours, in leaps, takes it through one wrap after another
until the packet in hand is authentic. What it sends never leaves this module.
"""

from typing import Final

from pylibsrtp import Error, Policy, Session

from telephony.sdp.crypto import MasterKey, Suite

PROFILES: Final = {
    Suite.AES_CM_128_HMAC_SHA1_80: Policy.SRTP_PROFILE_AES128_CM_SHA1_80,
    Suite.AES_CM_128_HMAC_SHA1_32: Policy.SRTP_PROFILE_AES128_CM_SHA1_32,
    Suite.AEAD_AES_128_GCM: Policy.SRTP_PROFILE_AEAD_AES_128_GCM,
    Suite.AEAD_AES_256_GCM: Policy.SRTP_PROFILE_AEAD_AES_256_GCM,
}
MOST_WRAPS: Final = 32
"""Twelve hours at 50 packets a second."""
_LEAP: Final = 0x7000
"""Less than half of the sequence numbers: more would be taken for a step back."""
_BEHIND: Final = 0x1000
"""Sequence numbers before the packet's at which the leaps end, clear of the replay window."""


def sending(key: MasterKey) -> Session:
    """A session that protects, for any source."""
    return _session(key, Policy.SSRC_ANY_OUTBOUND)


def receiving(key: MasterKey) -> Session:
    """A session that unprotects, for any source."""
    return _session(key, Policy.SSRC_ANY_INBOUND)


def _session(key: MasterKey, kind: int) -> Session:
    return Session(Policy(key=key.material, ssrc_type=kind, srtp_profile=PROFILES[key.suite]))


def wrapped(key: MasterKey, packet: bytes) -> tuple[Session, bytes] | None:
    """A session in which this SRTP packet is authentic after some wraps, and what was in it.

    None if it is not within `MOST_WRAPS`.
    """
    sender, receiver = sending(key), receiving(key)
    sequence, index = int.from_bytes(packet[2:4]), -_LEAP
    for wraps in range(1, MOST_WRAPS + 1):
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
