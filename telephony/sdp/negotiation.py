"""Offer and answer (RFC 3264) as a back-to-back user agent needs them.

One audio stream a leg. What one peer offers is cut to codecs we can decode, given our own
address and offered to the other; what that one answers is carried back in the first one's
payload types. Everything else that is offered is refused with port 0 in its place.

    caller                    us                       advisor
      offer  ───────────▶ offer_for(offer) ──────────────▶
      ◀─────────── answer_for(offer, answer) ◀─────── answer

A description without a stream that we can carry raises `SdpParseError` with status 488.
"""

from collections.abc import Mapping, Sequence
from ipaddress import ip_address

from telephony.errors import SdpParseError
from telephony.sdp.codecs import DEFAULT_ALLOWED, STATIC_PAYLOADS, Codec, find_payload, is_allowed
from telephony.sdp.media import Direction, LocalMedia, Origin, RemoteMedia
from telephony.sdp.session import Line, MediaDescription, SessionDescription
from telephony.sdp.writing import placed, rewrite, session_lines, with_codecs

OWN_CODECS: tuple[Codec, ...] = (
    Codec("PCMA", 8000),
    Codec("PCMU", 8000),
    Codec("G722", 8000),
    Codec("telephone-event", 8000, 1, "0-16"),
)
"""What an offer of our own holds when nobody says otherwise."""


def _kept(section: MediaDescription, allowed: Sequence[str]) -> dict[int, Codec]:
    return {n: codec for n, codec in section.codecs().items() if is_allowed(codec, allowed)}


def _speaks(table: Mapping[int, Codec]) -> bool:
    return any(codec.is_audio for codec in table.values())


def _carried(session: SessionDescription, allowed: Sequence[str]) -> int:
    """The place of the section that we carry."""
    index = session.find(lambda media: media.is_rtp_audio and _speaks(_kept(media, allowed)))
    if index is None:
        secure = session.find(lambda media: media.port > 0 and "SAVP" in media.protocol.upper())
        why = "no codec in common" if secure is None else "SRTP is not supported"
        raise SdpParseError(why, status=488)
    return index


def _cut(section: MediaDescription, allowed: Sequence[str]) -> MediaDescription:
    table = _kept(section, allowed)
    return with_codecs(section, table, {number: number for number in table})


def cut_offer(
    offer: SessionDescription, allowed: Sequence[str] = DEFAULT_ALLOWED
) -> SessionDescription:
    """Leave the first plain-RTP audio section with its allowed codecs; refuse the others.

    Order, fmtp, ptime and unknown attributes are kept; refused sections stay with port 0.

    Raises:
        SdpParseError: status 488; no audio, SRTP only, or no allowed audio codec.
    """
    index = _carried(offer, allowed)
    audio = _cut(offer.media[index], allowed)
    return SessionDescription(offer.lines, placed(audio, offer.media, index))


def offer_for(
    offer: SessionDescription,
    local: LocalMedia,
    origin: Origin,
    *,
    allowed: Sequence[str] = DEFAULT_ALLOWED,
    previous: SessionDescription | None = None,
) -> SessionDescription:
    """The offer for the other leg: `cut_offer`, then `rewrite`, in that leg's own shape.

    Args:
        offer: what the first peer offered.
        local: the address of the other leg.
        origin: the o= line of the other leg.
        allowed: encoding names to keep.
        previous: what we last said on the other leg: its m-lines keep their number and order
            (RFC 3264 section 8). Without it there is one audio section.

    Raises:
        SdpParseError: as `cut_offer`.
    """
    cut = cut_offer(offer, allowed)
    index = _carried(cut, allowed)
    alone = SessionDescription(cut.lines, (cut.media[index],))
    return _shaped(rewrite(alone, local, origin, direction=cut.direction(index)), previous)


def _shaped(session: SessionDescription, previous: SessionDescription | None) -> SessionDescription:
    """`session`, of one section, in the place that audio has in `previous`."""
    if previous is None:
        return session
    index = previous.audio_index()
    if index is None:
        index = previous.find(lambda media: media.kind.lower() == "audio")
    return SessionDescription(session.lines, placed(session.media[0], previous.media, index))


def answer_for(
    offer: SessionDescription,
    answer: SessionDescription,
    local: LocalMedia,
    origin: Origin,
    *,
    allowed: Sequence[str] = DEFAULT_ALLOWED,
) -> SessionDescription:
    """The answer for the peer that made `offer`, from the other peer's `answer`.

    Sections as in `offer`, codecs in the answer's order with the offer's payload types.

    Raises:
        SdpParseError: status 488; the answer refuses the audio or shares no audio codec.
    """
    index = _carried(offer, allowed)
    theirs = answer.audio_index()
    if theirs is None:
        raise SdpParseError("the answer refuses the audio", status=488)
    section = answer.media[theirs]
    table, renumbered = _matched(_kept(offer.media[index], allowed), section.codecs())
    if not _speaks(table):
        raise SdpParseError("the answer shares no audio codec with the offer", status=488)
    asked, said = offer.direction(index), answer.direction(theirs)
    direction = Direction.of(
        sends=said.sends and asked.receives, receives=said.receives and asked.sends
    )
    audio = with_codecs(section, table, renumbered)
    alone = SessionDescription(answer.lines, (audio,))
    written = rewrite(alone, local, origin, direction=direction)
    return _answering(written, offer, index)


def _matched(
    offered: Mapping[int, Codec], answered: Mapping[int, Codec]
) -> tuple[dict[int, Codec], dict[int, int]]:
    """The answered codecs by offered payload type, and answered type to offered type."""
    table: dict[int, Codec] = {}
    renumbered: dict[int, int] = {}
    for number, codec in answered.items():
        free = {n: c for n, c in offered.items() if n not in table}
        found = find_payload(free, codec)
        if found is not None:
            table[found] = offered[found]
            renumbered[number] = found
    return table, renumbered


def _answering(
    written: SessionDescription, offer: SessionDescription, index: int
) -> SessionDescription:
    """`written`, of one section, as the answer to the `index`-th section of `offer`."""
    audio = written.media[0]
    asked = offer.media[index]
    audio = MediaDescription(
        asked.kind, audio.port, asked.protocol, audio.formats, audio.lines, audio.port_count
    )
    return SessionDescription(written.lines, placed(audio, offer.media, index))


def build_offer(
    local: LocalMedia,
    origin: Origin,
    *,
    codecs: Sequence[Codec] = OWN_CODECS,
    direction: Direction = Direction.SENDRECV,
    previous: SessionDescription | None = None,
) -> SessionDescription:
    """An offer of our own, for an INVITE that came without one or a party brought back."""
    table = _numbered(codecs)
    lines = [Line("a", f"rtpmap:{number} {codec}") for number, codec in table.items()]
    lines += [Line("a", f"fmtp:{n} {codec.fmtp}") for n, codec in table.items() if codec.fmtp]
    lines += [Line("a", "ptime:20"), Line("a", direction.value)]
    audio = MediaDescription("audio", local.port, "RTP/AVP", tuple(map(str, table)), tuple(lines))
    return _shaped(SessionDescription(session_lines(local, origin), (audio,)), previous)


def _numbered(codecs: Sequence[Codec]) -> dict[int, Codec]:
    """Static payload types where there are any, 101 for the first events, then 96 and up."""
    static = {codec.identity: number for number, codec in STATIC_PAYLOADS.items()}
    free = iter([number for number in range(96, 128) if number != 101])
    table: dict[int, Codec] = {}
    for codec in codecs:
        number = 101 if codec.is_event else static.get(codec.identity)
        if number is None or number in table:
            number = next(free)
        table[number] = codec
    return table


def build_answer(
    offer: SessionDescription,
    local: LocalMedia,
    origin: Origin,
    *,
    allowed: Sequence[str] = DEFAULT_ALLOWED,
    direction: Direction | None = None,
) -> SessionDescription:
    """An answer of our own (a refresh, ringback): its first allowed codec, and events.

    `direction` defaults to the reverse of the offer's.

    Raises:
        SdpParseError: as `cut_offer`.
    """
    index = _carried(offer, allowed)
    section = offer.media[index]
    table = _kept(section, allowed)
    first = next(number for number, codec in table.items() if codec.is_audio)
    chosen = {
        number: codec
        for number, codec in table.items()
        if number == first or (codec.is_event and codec.clock == table[first].clock)
    }
    audio = with_codecs(section, chosen, {number: number for number in chosen})
    alone = SessionDescription(offer.lines, (audio,))
    wanted = direction or offer.direction(index).reverse
    return _answering(rewrite(alone, local, origin, direction=wanted), offer, index)


def remote_media(theirs: SessionDescription, ours: SessionDescription | None = None) -> RemoteMedia:
    """What the relay must know of a peer that said `theirs`, while we told it `ours`.

    The peer may send the payload types of `ours`, and, as some do, those of its own; media flows
    in the directions that both descriptions allow.

    Raises:
        SdpParseError: status 488; no live audio section, or no IP literal to send to.
    """
    index = theirs.audio_index()
    if index is None:
        raise SdpParseError("there is no live audio section", status=488)
    section = theirs.media[index]
    said = theirs.direction(index)
    accepts = section.codecs()
    own = ours.audio_index() if ours else None
    told: dict[int, Codec] = {}
    allowed = Direction.SENDRECV
    if ours is not None and own is not None:
        told, allowed = ours.media[own].codecs(), ours.direction(own)
    return RemoteMedia(
        host=_literal(theirs.host(index)),
        rtp_port=section.port,
        rtcp_port=_rtcp_port(section),
        receive=said.receives and allowed.sends,
        send=said.sends and allowed.receives,
        payloads=told | {n: codec for n, codec in accepts.items() if n not in told},
        accepts=accepts,
    )


def _literal(host: str | None) -> str:
    try:
        address = ip_address(host or "")
    except ValueError:
        raise SdpParseError("the connection address is no IP literal", status=488) from None
    if address.is_multicast:
        raise SdpParseError("the connection address is multicast", status=488)
    return str(address)


def _rtcp_port(section: MediaDescription) -> int:
    """The port of a=rtcp (RFC 3605), or the one after RTP's."""
    words = (section.attribute("rtcp") or "").split()
    if words and words[0].isascii() and words[0].isdigit() and len(words[0]) < 6:
        port = int(words[0])
        if 0 < port < 65_536:
            return port
    return min(section.port + 1, 65_535)


def same_media(one: SessionDescription | None, other: SessionDescription | None) -> bool:
    """Whether two descriptions ask for the same media: an unchanged refresh.

    Compared are sections, addresses, ports, codecs with fmtp, direction and attributes; not
    o=, s= or t=. Two that are both absent are the same.
    """
    if one is None or other is None:
        return one is other
    return _essence(one) == _essence(other)


def _essence(session: SessionDescription) -> object:
    sections = [
        (
            (media.kind, media.port, media.protocol, media.formats),
            (session.host(index), session.direction(index)),
            [line for line in media.lines if line.type != "c"],
        )
        for index, media in enumerate(session.media)
    ]
    return [line for line in session.lines if line.type in "ba"], sections
