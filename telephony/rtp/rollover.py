"""libsrtp's sessions, and a way to bring one to a roll-over counter that libsrtp cannot set.

A receiver that joins a stream late, or after a new key, does not know how often the sequence number
has wrapped (RFC 3711 section 3.3.1: a new key does not reset the counter, although most senders do
reset it). So a second session with the same key sends packets to ours, in leaps. They take ours
through one wrap after another, until the received packet is authentic. The packets of the second
session never leave this module.
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
"""The most wraps that are tried: twelve hours at 50 packets a second."""
_LEAP: Final = 0x7000
"""Sequence numbers in a leap: less than half of all, because more would be a step back."""
_BEHIND: Final = 0x1000
"""Sequence numbers between the last leap and the packet, to stay out of the replay window."""


def outbound_session(key: MasterKey) -> Session:
    """Return a session that protects packets of any SSRC."""
    return _session(key, Policy.SSRC_ANY_OUTBOUND)


def inbound_session(key: MasterKey) -> Session:
    """Return a session that unprotects packets of any SSRC."""
    return _session(key, Policy.SSRC_ANY_INBOUND)


def _session(key: MasterKey, kind: int) -> Session:
    return Session(Policy(key=key.material, ssrc_type=kind, srtp_profile=PROFILES[key.suite]))


def find_rollover(key: MasterKey, packet: bytes) -> tuple[Session, bytes] | None:
    """Return a session in which this SRTP packet is authentic after some wraps, and the RTP packet.

    None if the packet is not authentic after 1 to `MOST_WRAPS` wraps.
    """
    sender, receiver = outbound_session(key), inbound_session(key)
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
