"""The session descriptions (SDP) that we write.

A description that we write contains our own o= line, address and ports in place of the peer's. A
media section that we do not relay remains in the description, but with port 0 (RFC 3264 section 6).
We remove from the description all information with which the two peers could reach each other
directly.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from telephony.ip_literal import ip_literal
from telephony.sdp.codecs import Codec
from telephony.sdp.media import Direction, LocalMedia, Origin
from telephony.sdp.session import MediaDescription, SdpLine, SessionDescription
from telephony.sdp.transport import Transport

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
"""The SDP attributes in one peer's description that we do not forward to the other peer.

These are the attributes that contain:

- addresses, identities and crypto keys of the peer;
- features that are negotiated only on the peer's own leg (RFC 4585, RFC 5761);
- offers of other transports, which may contain crypto keys (RFC 3407, RFC 5939);
- the direction: we write our own direction attribute instead.
"""
_BY_PAYLOAD = frozenset({"rtpmap", "fmtp", "rtcp-fb"})


def rewrite(
    session: SessionDescription,
    local: LocalMedia,
    origin: Origin,
    *,
    direction: Direction | None = None,
    transport: Transport | None = None,
) -> SessionDescription:
    """Return `session` with our o= line, address and ports in place of the peer's.

    The result does not contain the peer's s=, u=, e=, p=, i= and k= lines, or the attributes of
    ICE, DTLS, SDES, rtcp and rtcp-mux. The first audio section with a port other than 0 is relayed.
    All other sections are refused: they get port 0.

    Args:
        session: The peer's description.
        local: Our address, and the port for the relayed section.
        origin: The session id and version for our o= line.
        direction: The direction of the relayed section. If it is None, the section has the
            direction from `session`. If `session` expresses a hold by the address 0.0.0.0, the
            result expresses it by a direction attribute.
        transport: The profile and the crypto keys for the relayed section. If it is None, the
            section has the profile from `session`, and no crypto keys.
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
    return replace(section, port=local.port, protocol=said.profile, port_count=1, lines=lines)


def _passes(line: SdpLine) -> bool:
    return line.type != "a" or not _DROPPED.fullmatch(line.value.partition(":")[0].strip())


def refuse_section(section: MediaDescription) -> MediaDescription:
    """Return `section` as a refused section: with port 0 and without attributes.

    The formats of `section` remain, because an m= line needs at least one format (RFC 8866 section
    9). If it has none, the result has the format 0.
    """
    return replace(section, port=0, port_count=1, formats=section.formats or ("0",), lines=())


def session_lines(
    local: LocalMedia, origin: Origin, kept: Iterable[SdpLine] = ()
) -> tuple[SdpLine, ...]:
    """Return the session-level lines of a description that we write.

    They contain our address from `local`. `kept` are the peer's session-level lines, which are
    copied. A line is not copied if it describes the peer, or if we write a line of its type
    ourselves. The returned lines are sorted by type as RFC 8866 section 5 requires.
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

    Args:
        section: The section to change. New rtpmap attributes, made from `table`, replace its rtpmap
            attributes. Its other attributes are copied.
        table: The codecs of the result, in sequence. Each dict key is the codec's payload type in
            the result.
        renumbered: Maps payload types of `section` to payload types of the result. A copy of an
            fmtp or rtcp-fb attribute gets the payload type of the result. If its payload type is
            not in `renumbered`, the attribute is not copied.
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
    return replace(section, formats=tuple(map(str, table)), lines=tuple(lines))


def place_section(
    audio: MediaDescription, shape: Sequence[MediaDescription], index: int | None
) -> tuple[MediaDescription, ...]:
    """Return all media sections of a description: the section `audio` and refused sections.

    The result has the sections of `shape` in their sequence, each as a refused section. Only the
    section at the position `index` of `shape` (from 0) is replaced by `audio`. If `index` is None,
    none is replaced, and `audio` is added after the sections of `shape`.
    """
    others = [refuse_section(section) for section in shape]
    if index is None:
        return (*others, audio)
    return (*others[:index], audio, *others[index + 1 :])
