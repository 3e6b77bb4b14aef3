"""The session descriptions (SDP) that we write, and the transport of their audio section.

We write our o= line, address and ports in place of the peer's. A section that we do not relay
remains with port 0 (RFC 3264 section 6). Attributes through which the two peers could reach each
other directly are removed.

Each leg has its own RTP profile, SRTP keys and rtcp-mux (RFC 4568, RFC 5761, RFC 4585). Our first
offer has RTP/AVP or RTP/SAVP. Our answer has the profile of the peer's offer. Our later offers keep
the profile of our previous description. Feedback messages (RFC 4585) are not negotiated, because
the other leg may not support them. DTLS-SRTP is not supported: a section that offers only DTLS-SRTP
is refused.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from telephony.sdp.codecs import Codec
from telephony.sdp.crypto import Crypto, Srtp, parse_crypto_lines
from telephony.sdp.media import Direction, LocalMedia, Origin, ip_literal
from telephony.sdp.session import MediaDescription, SdpLine, SessionDescription

_ORDER = "vosiuepcbtrzka"
_PERSONAL = frozenset("iuepk")
_OURS = frozenset("voscm")
_DROPPED = re.compile(
    r"bundle-only|candidate|connection|crypto|end-of-candidates|fingerprint|group|ice-\w+|identity"
    r"|key-mgmt|mid|msid|msid-semantic|remote-candidates|rid|rtcp|rtcp-fb|rtcp-mux|rtcp-mux-only"
    r"|rtcp-rsize|setup|simulcast|ssrc|ssrc-group|tls-id|zrtp-hash"
    r"|[amt]cap|[alp]cfg|cdsc|cpar|cparmax|cparmin|creq|csup|sqn"
    r"|sendrecv|sendonly|recvonly|inactive",
    re.IGNORECASE,
)
"""The SDP attributes that we do not forward to the other peer.

Some have the peer's addresses, identities or crypto keys. Some concern the peer's own leg (RFC
4585, RFC 5761) or offer other transports (RFC 3407, RFC 5939). We write the direction ourselves.
"""
_BY_PAYLOAD = frozenset({"rtpmap", "fmtp", "rtcp-fb"})


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


def offer_transport(local: LocalMedia, previous: MediaDescription | None) -> Transport:
    """Return the transport of our offer, with rtcp-mux.

    Profile and keys are those of our `previous` audio section. If `previous` is None, the transport
    is SRTP if the leg requires SRTP, else plain RTP.
    """
    if previous is not None:
        keys = parse_crypto_lines(previous.attributes("crypto"))
        return Transport(previous.protocol, keys, rtcp_mux=True)
    if local.srtp is not Srtp.REQUIRED:
        return Transport("RTP/AVP", rtcp_mux=True)
    keys = tuple(Crypto(tag, key) for tag, key in enumerate(local.keys.values(), 1))
    return Transport("RTP/SAVP", keys, rtcp_mux=True)


def answer_to(section: MediaDescription, local: LocalMedia) -> Transport:
    """Return the transport of our answer to a peer's audio section, in the peer's profile.

    Our key has the tag and suite of the peer's first usable a=crypto line with AES-GCM. Without one
    with AES-GCM, the first usable line is taken. Without a usable line, the transport has no key.
    """
    lines = usable_keys(section, local.srtp)
    line = next((line for line in lines if line.key.suite.is_gcm), lines[0] if lines else None)
    keys = () if line is None else (Crypto(line.tag, local.keys[line.key.suite]),)
    mux = section.attribute("rtcp-mux") is not None
    return Transport(section.protocol, keys, rtcp_mux=mux)


def rewrite(
    session: SessionDescription,
    local: LocalMedia,
    origin: Origin,
    *,
    direction: Direction | None = None,
    transport: Transport | None = None,
) -> SessionDescription:
    """Return `session` with our o= line, address and ports in place of the peer's.

    The peer's s=, u=, e=, p=, i= and k= lines, and the attributes in `_DROPPED`, are removed. The
    first section with `is_rtp_audio` true is relayed. All other sections get port 0 (refused).

    `direction` None means the direction of `session`. A hold by the address 0.0.0.0 becomes a
    direction attribute. `transport` None means the relayed section's profile, without keys and
    rtcp-mux.
    """
    carried = session.audio_index()
    media = tuple(
        _rewrite_section(section, local, direction or session.direction(index), transport)
        if index == carried
        else refuse_section(section)
        for index, section in enumerate(session.media)
    )
    return SessionDescription(session_lines(local, origin, session.lines), media)


def _rewrite_section(
    section: MediaDescription,
    local: LocalMedia,
    direction: Direction,
    transport: Transport | None,
) -> MediaDescription:
    said = transport or Transport(section.protocol)
    kept = (line for line in section.lines if line.type not in "ick" and _passes(line))
    lines = (*kept, *said.lines(), SdpLine("a", direction.value))
    return MediaDescription(section.kind, local.port, said.profile, section.formats, lines)


def _passes(line: SdpLine) -> bool:
    return line.type != "a" or not _DROPPED.fullmatch(line.value.partition(":")[0].strip())


def refuse_section(section: MediaDescription) -> MediaDescription:
    """Return a refused section: port 0, no attributes, and at least one format (RFC 8866 9)."""
    return MediaDescription(section.kind, 0, section.protocol, section.formats or ("0",))


def session_lines(
    local: LocalMedia, origin: Origin, kept: Iterable[SdpLine] = ()
) -> tuple[SdpLine, ...]:
    """Return the session-level lines of a description that we write, with our address.

    `kept`, the peer's lines, are copied, except those that describe the peer or that we write. The
    result is sorted by type as RFC 8866 section 5 requires.
    """
    family = f"IN IP{ip_literal(local.host).version} {local.host}"
    lines = [
        SdpLine("v", "0"),
        SdpLine("o", f"- {origin.session_id} {origin.version} {family}"),
        SdpLine("s", "-"),
        SdpLine("c", family),
    ]
    lines += [ln for ln in kept if ln.type not in _OURS | _PERSONAL and _passes(ln)]
    if not any(line.type == "t" for line in lines):
        lines.append(SdpLine("t", "0 0"))
    known = [line for line in lines if line.type in _ORDER]
    unknown = [line for line in lines if line.type not in _ORDER]
    return (*sorted(known, key=lambda line: _ORDER.index(line.type)), *unknown)


def with_origin(session: SessionDescription, origin: Origin) -> SessionDescription:
    """Return our description `session` with the session id and version of `origin`."""
    lines = []
    for line in session.lines:
        rest = line.value.split(" ", 3)
        again = line.type == "o" and len(rest) == 4
        said = f"{rest[0]} {origin.session_id} {origin.version} {rest[-1]}"
        lines.append(SdpLine("o", said) if again else line)
    return SessionDescription(tuple(lines), session.media)


def with_codecs(
    section: MediaDescription, table: Mapping[int, Codec], renumbered: Mapping[int, int]
) -> MediaDescription:
    """Return `section` with the codecs in `table` instead of its own codecs.

    `table` has the new payload types. Attributes other than rtpmap are copied. But fmtp and rtcp-fb
    are copied only for `*` or a payload type in `renumbered` (old to new), with the new number.
    """
    lines = [SdpLine("a", f"rtpmap:{number} {codec}") for number, codec in table.items()]
    for line in section.lines:
        name, _, value = line.value.partition(":") if line.type == "a" else ("", "", "")
        if name.lower() not in _BY_PAYLOAD:
            lines.append(line)
        elif name.lower() != "rtpmap":
            number, _, rest = value.strip().partition(" ")
            if number == "*":
                lines.append(line)
            elif number.isascii() and number.isdigit() and int(number) in renumbered:
                lines.append(SdpLine("a", f"{name}:{renumbered[int(number)]} {rest}"))
    return MediaDescription(
        section.kind,
        section.port,
        section.protocol,
        tuple(map(str, table)),
        tuple(lines),
        section.port_count,
    )


def place_section(
    audio: MediaDescription, shape: Sequence[MediaDescription], index: int | None
) -> tuple[MediaDescription, ...]:
    """Return the sections of `shape`, refused, with `audio` at `index` (None: at the end)."""
    others = [refuse_section(section) for section in shape]
    if index is None:
        return (*others, audio)
    return (*others[:index], audio, *others[index + 1 :])
