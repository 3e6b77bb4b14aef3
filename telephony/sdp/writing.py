"""The session descriptions (SDP) that we write.

They contain our o= line, address and ports in place of the peer's. A section that we do not relay
remains with port 0 (RFC 3264 section 6). All information with which the two peers could reach each
other directly is removed.
"""

import re
from collections.abc import Iterable, Mapping, Sequence

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
"""The SDP attributes that we do not forward to the other peer.

They have the peer's addresses, identities and crypto keys, features of the peer's own leg (RFC
4585, RFC 5761), offers of other transports, perhaps with crypto keys (RFC 3407, RFC 5939), or the
direction, which we write ourselves.
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

    Without the peer's s=, u=, e=, p=, i= and k= lines, and the attributes of ICE, DTLS, SDES, rtcp
    and rtcp-mux. The first audio section with a port other than 0 is relayed; all others get port 0
    (refused).

    Args:
        session: The peer's description.
        local: Our address, and the port for the relayed section.
        origin: The session id and version for our o= line.
        direction: None means that of `session`; a hold by the address 0.0.0.0 becomes a direction
            attribute.
        transport: The profile and the crypto keys; None means the profile of `session`, no keys.
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

    Args:
        section: Its rtpmap attributes are replaced, and its other attributes copied.
        table: The codecs of the result, in sequence, by their payload types in the result.
        renumbered: From payload types of `section` to those of the result, for fmtp and rtcp-fb;
            these are not copied without an entry.
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
