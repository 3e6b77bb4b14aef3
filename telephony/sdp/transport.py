"""The transport of one audio section: its RTP profile, its SRTP keys, and RTCP on the RTP port.

Each leg has its own transport (RFC 4568, 5761, 4585): the profile of one peer says nothing about
the other. Our first offer has RTP/AVP or RTP/SAVP. After that we keep the profile that the peer
wrote, even AVPF or SAVPF. Feedback messages (RFC 4585) are not negotiated, because the other leg
may not know them. We do not support DTLS-SRTP: a section that offers only that has no usable key
and is refused.
"""

from dataclasses import dataclass

from telephony.sdp.crypto import Crypto, Srtp, parse_crypto_lines
from telephony.sdp.media import LocalMedia
from telephony.sdp.session import MediaDescription, SdpLine


@dataclass(frozen=True, slots=True)
class Transport:
    """The transport part of our section, besides address and port."""

    profile: str
    crypto: tuple[Crypto, ...] = ()
    rtcp_mux: bool = False

    def lines(self) -> tuple[SdpLine, ...]:
        """Return the attribute lines of this transport."""
        keys = tuple(SdpLine("a", f"crypto:{line}") for line in self.crypto)
        return (*keys, SdpLine("a", "rtcp-mux")) if self.rtcp_mux else keys


def usable_keys(section: MediaDescription, srtp: Srtp) -> tuple[Crypto, ...]:
    """Return the keys of a peer's section that a leg of this kind can use, in the peer's order.

    Keys in an RTP/AVP section count too, because phones that prefer SRTP offer it like that (RFC
    8643).
    """
    return () if srtp is Srtp.OFF else parse_crypto_lines(section.attributes("crypto"))


def can_carry(section: MediaDescription, srtp: Srtp) -> bool:
    """Return whether a leg of this kind can carry a peer's audio section."""
    if usable_keys(section, srtp):
        return True
    return not section.is_secure and srtp is not Srtp.REQUIRED


def first_offer(local: LocalMedia) -> Transport:
    """Return the transport of a leg's first offer: SRTP if the leg requires it, else plain RTP."""
    if local.srtp is not Srtp.REQUIRED:
        return Transport("RTP/AVP", rtcp_mux=True)
    keys = tuple(Crypto(tag, key) for tag, key in enumerate(local.keys.values(), 1))
    return Transport("RTP/SAVP", keys, rtcp_mux=True)


def later_offer(previous: MediaDescription) -> Transport:
    """Return the transport of a leg's next offer: that of our previous section."""
    return Transport(
        previous.protocol, parse_crypto_lines(previous.attributes("crypto")), rtcp_mux=True
    )


def answer_to(section: MediaDescription, local: LocalMedia) -> Transport:
    """Return the transport of our answer to a peer's section.

    It has the peer's profile, and our key with the suite and tag of the peer's first usable line.
    """
    line = next(iter(usable_keys(section, local.srtp)), None)
    keys = () if line is None else (Crypto(line.tag, local.keys[line.key.suite]),)
    mux = section.attribute("rtcp-mux") is not None
    return Transport(section.protocol, keys, rtcp_mux=mux)
