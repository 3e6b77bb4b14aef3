"""The transport of one audio section: its RTP profile, its SRTP keys, and RTCP on the RTP port.

Each leg has its own (RFC 4568, RFC 5761, RFC 4585). Our first offer has RTP/AVP or RTP/SAVP, later
ones the profile that the peer has written, even RTP/AVPF or RTP/SAVPF. Feedback messages (RFC 4585)
are not negotiated, because the other leg may not support them. DTLS-SRTP is not supported: a
section with only that has no usable key, and is refused.
"""

from dataclasses import dataclass

from telephony.sdp.crypto import Crypto, Srtp, parse_crypto_lines
from telephony.sdp.media import LocalMedia
from telephony.sdp.session import MediaDescription, SdpLine


@dataclass(frozen=True, slots=True)
class Transport:
    """The transport of an audio section that we write, without its address and port."""

    profile: str
    crypto: tuple[Crypto, ...] = ()
    rtcp_mux: bool = False

    def lines(self) -> tuple[SdpLine, ...]:
        """Return the a= lines of this transport: its SRTP keys, and rtcp-mux if that is used."""
        keys = tuple(SdpLine("a", f"crypto:{line}") for line in self.crypto)
        return (*keys, SdpLine("a", "rtcp-mux")) if self.rtcp_mux else keys


def usable_keys(section: MediaDescription, srtp: Srtp) -> tuple[Crypto, ...]:
    """Return the SRTP keys in a peer's audio section that a leg can use, in order.

    The profile may be RTP/AVP: phones that prefer SRTP may offer it in this form (RFC 8643).
    """
    return () if srtp is Srtp.OFF else parse_crypto_lines(section.attributes("crypto"))


def can_carry(section: MediaDescription, srtp: Srtp) -> bool:
    """Return whether a leg supports the protection (SRTP or none) of a peer's audio section."""
    if usable_keys(section, srtp):
        return True
    return not section.is_secure and srtp is not Srtp.REQUIRED


def first_offer(local: LocalMedia) -> Transport:
    """Return the transport of our first offer: SRTP if the leg requires it, else plain RTP."""
    if local.srtp is not Srtp.REQUIRED:
        return Transport("RTP/AVP", rtcp_mux=True)
    keys = tuple(Crypto(tag, key) for tag, key in enumerate(local.keys.values(), 1))
    return Transport("RTP/SAVP", keys, rtcp_mux=True)


def later_offer(previous: MediaDescription) -> Transport:
    """Return the transport of our previous audio section on the leg, for the next offer."""
    return Transport(
        previous.protocol, parse_crypto_lines(previous.attributes("crypto")), rtcp_mux=True
    )


def answer_to(section: MediaDescription, local: LocalMedia) -> Transport:
    """Return the transport of our answer to a peer's audio section, in the peer's profile.

    It has the tag and suite of one usable a=crypto line of the peer, and our key: the first with
    AES-GCM, which takes less time than HMAC-SHA1, or else the first. Without such a line, it has no
    key.
    """
    lines = usable_keys(section, local.srtp)
    line = next((line for line in lines if line.key.suite.is_gcm), lines[0] if lines else None)
    keys = () if line is None else (Crypto(line.tag, local.keys[line.key.suite]),)
    mux = section.attribute("rtcp-mux") is not None
    return Transport(section.protocol, keys, rtcp_mux=mux)
