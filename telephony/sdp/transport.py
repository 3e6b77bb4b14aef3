"""How one audio section is carried: its RTP profile, its SRTP keys, and RTCP beside RTP.

This is each leg's own affair (RFC 4568, 5761, 4585): what one peer speaks says nothing of the
other. We write RTP/AVP or RTP/SAVP first of all and keep to whatever a peer wrote, AVPF and SAVPF
included; feedback messages (RFC 4585) are not negotiated, since the other leg may know none.
DTLS-SRTP is not spoken: a section that offers nothing else holds no usable key, and is refused.
"""

from dataclasses import dataclass

from telephony.sdp.crypto import Crypto, Srtp, usable
from telephony.sdp.media import LocalMedia
from telephony.sdp.session import Line, MediaDescription


@dataclass(frozen=True, slots=True)
class Transport:
    """What our section says of transport, besides address and port."""

    profile: str
    crypto: tuple[Crypto, ...] = ()
    rtcp_mux: bool = False

    def lines(self) -> tuple[Line, ...]:
        """The attribute lines."""
        keys = tuple(Line("a", f"crypto:{line}") for line in self.crypto)
        return (*keys, Line("a", "rtcp-mux")) if self.rtcp_mux else keys


def keys_of(section: MediaDescription, srtp: Srtp) -> tuple[Crypto, ...]:
    """The keys of a peer's section that a leg of this kind can use, in the peer's order.

    They count in an RTP/AVP section too: so do phones offer SRTP that prefer it (RFC 8643).
    """
    return () if srtp is Srtp.OFF else usable(section.attributes("crypto"))


def accepts(section: MediaDescription, srtp: Srtp) -> bool:
    """Whether a peer's audio section can be taken up on a leg of this kind."""
    if keys_of(section, srtp):
        return True
    return not section.is_secure and srtp is not Srtp.REQUIRED


def first_offer(local: LocalMedia) -> Transport:
    """What a leg's first offer says: SRTP where nothing else will do, plain RTP elsewhere."""
    if local.srtp is not Srtp.REQUIRED:
        return Transport("RTP/AVP", rtcp_mux=True)
    keys = tuple(Crypto(tag, key) for tag, key in enumerate(local.keys.values(), 1))
    return Transport("RTP/SAVP", keys, rtcp_mux=True)


def later_offer(previous: MediaDescription) -> Transport:
    """What the next offer on a leg says: what we said before."""
    return Transport(previous.protocol, usable(previous.attributes("crypto")), rtcp_mux=True)


def answer_to(section: MediaDescription, local: LocalMedia) -> Transport:
    """Our answer to a peer's section: its profile, its first key's suite and tag, our key."""
    line = next(iter(keys_of(section, local.srtp)), None)
    keys = () if line is None else (Crypto(line.tag, local.keys[line.key.suite]),)
    mux = section.attribute("rtcp-mux") is not None
    return Transport(section.protocol, keys, rtcp_mux=mux)
