"""Sessions of libsrtp, and the search for the roll-over counter of a received stream.

The roll-over counter is the number of times that the 16-bit sequence number has started again at 0.
A receiver does not know it without the stream's beginning, nor after a change of the key: most
senders then reset it, although RFC 3711 section 3.3.1 says that a new key does not.

libsrtp has no function that sets a receiving session's counter. So a sending session with the same
key makes search packets, whose sequence numbers grow in large steps, and the receiving session
reads them. Each time its counter has grown by one, the received packet is tried. The search packets
never leave this module.
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
"""The largest roll-over counter that is tried: about twelve hours at 50 packets a second."""
_LEAP: Final = 0x7000
"""The step between the sequence numbers of search packets.

After 32768 (half of the 65536 sequence numbers) or more, libsrtp would take the packet for an old
one.
"""
_BEHIND: Final = 0x1000
"""The last search packet is this many sequence numbers before the received packet.

So libsrtp does not refuse the received packet as repeated.
"""


def outbound_session(key: MasterKey) -> Session:
    """Return a session that protects RTP packets of any SSRC with this key."""
    return _session(key, Policy.SSRC_ANY_OUTBOUND)


def inbound_session(key: MasterKey) -> Session:
    """Return a session that removes the protection from SRTP packets of any SSRC."""
    return _session(key, Policy.SSRC_ANY_INBOUND)


def _session(key: MasterKey, kind: int) -> Session:
    return Session(Policy(key=key.material, ssrc_type=kind, srtp_profile=PROFILES[key.suite]))


def find_rollover(key: MasterKey, packet: bytes) -> tuple[Session, bytes] | None:
    """Return the session with the roll-over counter of this SRTP packet, and the RTP packet.

    None means that the packet is not authentic with any counter from 1 to `MOST_WRAPS`.
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
