"""Offer and answer (RFC 3264) for a back-to-back user agent, with one audio stream on each leg.

We forward an offer with our address and only its allowed codecs, and the answer with the payload
types of the original offer. The answer refuses all other streams of the offer: they stay in their
place with port 0. `own_offer` and `own_answer` make descriptions without a second peer.

    caller                       us                           callee
      offer  ───────────▶ forwarded_offer(offer) ───────────────▶
      ◀─────────── forwarded_answer(offer, answer) ◀─────────── answer

For an offer without a stream that we can carry, the functions raise `SdpParseError` with status
488. We refuse T.38 (fax) in place of audio: the peer then sends the fax as G.711, which we handle
as audio. The module `writing` decides how a leg's stream is protected.
"""

from collections.abc import Mapping, Sequence

from telephony.errors import SdpParseError
from telephony.sdp.agreement import live_section
from telephony.sdp.codecs import (
    DEFAULT_ALLOWED,
    STATIC_PAYLOADS,
    Codec,
    find_payload,
    is_allowed,
    renumbered,
)
from telephony.sdp.crypto import Srtp
from telephony.sdp.media import Direction, LocalMedia, Origin
from telephony.sdp.session import MediaDescription, SdpLine, SessionDescription
from telephony.sdp.writing import (
    answer_to,
    can_carry,
    offer_transport,
    place_section,
    rewrite,
    session_lines,
    usable_keys,
    with_codecs,
)

OWN_CODECS: tuple[Codec, ...] = (
    Codec("PCMA", 8000),
    Codec("PCMU", 8000),
    Codec("G722", 8000),
    Codec("telephone-event", 8000, 1, "0-16"),
)
"""The codecs of our own offers, unless `own_offer` is called with others."""


def _kept(section: MediaDescription, allowed: Sequence[str]) -> dict[int, Codec]:
    return {n: codec for n, codec in section.codecs().items() if is_allowed(codec, allowed)}


def _speaks(table: Mapping[int, Codec]) -> bool:
    return any(codec.is_audio for codec in table.values())


def carried_index(session: SessionDescription, allowed: Sequence[str], srtp: Srtp) -> int:
    """Return the index of the audio section that we carry, or raise SdpParseError (488).

    A section with SRTP keys that we can use is preferred.
    """

    def fits(media: MediaDescription) -> bool:
        speaks = media.is_rtp_audio and _speaks(_kept(media, allowed))
        return speaks and can_carry(media, srtp)

    fitting = [index for index, media in enumerate(session.media) if fits(media)]
    if not fitting:
        is_audio = (media.port > 0 and media.kind.lower() == "audio" for media in session.media)
        why = "no common codec or protection" if any(is_audio) else "no audio"
        raise SdpParseError(why, status=488)
    keyed = (index for index in fitting if usable_keys(session.media[index], srtp))
    return next(keyed, fitting[0])


def _cut(section: MediaDescription, allowed: Sequence[str]) -> MediaDescription:
    table = _kept(section, allowed)
    return with_codecs(section, table, {number: number for number in table})


def cut_offer(
    offer: SessionDescription,
    allowed: Sequence[str] = DEFAULT_ALLOWED,
    srtp: Srtp = Srtp.OFF,
) -> SessionDescription:
    """Return `offer` with only the audio section that we carry, and its allowed codecs.

    Other sections stay in their places with port 0 (refused). `allowed` has encoding names.
    The codecs' sequence and fmtp, ptime, and unknown attributes stay. `srtp` is the protection that
    the offer may have. Raises `SdpParseError` (488) if there is no audio, no audio with the
    protection that `srtp` requires, or no allowed audio codec.
    """
    index = carried_index(offer, allowed, srtp)
    audio = _cut(offer.media[index], allowed)
    return SessionDescription(offer.lines, place_section(audio, offer.media, index))


def forwarded_offer(
    offer: SessionDescription,
    local: LocalMedia,
    origin: Origin,
    *,
    allowed: Sequence[str] = DEFAULT_ALLOWED,
    srtp: Srtp = Srtp.OFF,
    previous: SessionDescription | None = None,
    direction: Direction | None = None,
) -> SessionDescription:
    """Return our offer for the other leg: the audio section of `offer` with our own address.

    `local` is our address on the other leg and its protection, `origin` the o= line there, and
    `allowed` the encoding names of the codecs that may stay. `srtp` is the protection that media
    may have on the leg of the peer that sent `offer`. `previous` is our latest description on the
    other leg, or None. Its m-lines and payload types stay (RFC 3264 section 8). `direction` None
    means the direction in `offer`. Raises `SdpParseError` (488) as `cut_offer`.
    """
    index = carried_index(offer, allowed, srtp)
    section, before = _cut(offer.media[index], allowed), live_section(previous)
    if before is not None:
        section = _with_payload_types_of(section, before)
    transport = offer_transport(local, before)
    alone = SessionDescription(offer.lines, (section,))
    wanted = direction or offer.direction(index)
    return _in_shape_of(
        rewrite(alone, local, origin, direction=wanted, transport=transport), previous
    )


def _with_payload_types_of(section: MediaDescription, before: MediaDescription) -> MediaDescription:
    table = section.codecs()
    numbers = renumbered(table, before.codecs())
    return with_codecs(section, {new: table[n] for n, new in numbers.items()}, numbers)


def _in_shape_of(
    session: SessionDescription, previous: SessionDescription | None
) -> SessionDescription:
    """Put the section of `session` in place of the audio of `previous`. Refuse other sections."""
    if previous is None:
        return session
    index = previous.audio_index()
    if index is None:
        index = previous.find(lambda media: media.kind.lower() == "audio")
    return SessionDescription(session.lines, place_section(session.media[0], previous.media, index))


def forwarded_answer(
    offer: SessionDescription,
    answer: SessionDescription,
    local: LocalMedia,
    origin: Origin,
    *,
    allowed: Sequence[str] = DEFAULT_ALLOWED,
) -> SessionDescription:
    """Return the answer to `offer`, made from the other peer's `answer`.

    It has the sections and payload types of `offer`, and the codec sequence of `answer`. `local`
    and `origin` are our address and o= line for the peer that offered. Raises `SdpParseError` (488)
    if `answer` refuses the audio or has no audio codec in common with `offer`, or if `offer` has no
    section that we can carry.
    """
    index = carried_index(offer, allowed, local.srtp)
    theirs = answer.audio_index()
    if theirs is None:
        raise SdpParseError("the answer refuses the audio", status=488)
    section = answer.media[theirs]
    table, numbers = _matched(_kept(offer.media[index], allowed), section.codecs())
    if not _speaks(table):
        raise SdpParseError("the answer shares no audio codec with the offer", status=488)
    asked, said = offer.direction(index), answer.direction(theirs)
    direction = Direction.of(
        sends=said.sends and asked.receives, receives=said.receives and asked.sends
    )
    audio = with_codecs(section, table, numbers)
    alone = SessionDescription(answer.lines, (audio,))
    transport = answer_to(offer.media[index], local)
    written = rewrite(alone, local, origin, direction=direction, transport=transport)
    return _place_in_offer(written, offer, index)


def _matched(
    offered: Mapping[int, Codec], answered: Mapping[int, Codec]
) -> tuple[dict[int, Codec], dict[int, int]]:
    """Return {offer's payload type: codec}, and {answer's payload type: offer's payload type}."""
    table: dict[int, Codec] = {}
    numbers: dict[int, int] = {}
    for number, codec in answered.items():
        free = {n: c for n, c in offered.items() if n not in table}
        found = find_payload(free, codec)
        if found is not None:
            table[found] = offered[found]
            numbers[number] = found
    return table, numbers


def _place_in_offer(
    written: SessionDescription, offer: SessionDescription, index: int
) -> SessionDescription:
    return SessionDescription(written.lines, place_section(written.media[0], offer.media, index))


def own_offer(
    local: LocalMedia,
    origin: Origin,
    *,
    codecs: Sequence[Codec] = OWN_CODECS,
    direction: Direction = Direction.SENDRECV,
    previous: SessionDescription | None = None,
) -> SessionDescription:
    """Return an offer of our own. The sections of `previous` keep their places."""
    table = _numbered(codecs)
    lines = [SdpLine("a", f"rtpmap:{number} {codec}") for number, codec in table.items()]
    lines += [SdpLine("a", f"fmtp:{n} {codec.fmtp}") for n, codec in table.items() if codec.fmtp]
    before = live_section(previous)
    transport = offer_transport(local, before)
    lines += [SdpLine("a", "ptime:20"), *transport.lines(), SdpLine("a", direction.value)]
    formats = tuple(map(str, table))
    audio = MediaDescription("audio", local.port, transport.profile, formats, tuple(lines))
    return _in_shape_of(SessionDescription(session_lines(local, origin), (audio,)), previous)


def _numbered(codecs: Sequence[Codec]) -> dict[int, Codec]:
    """Return a codec table: static payload types, 101 for telephone-event, others from 96."""
    static = {codec.identity: number for number, codec in STATIC_PAYLOADS.items()}
    free = iter([number for number in range(96, 128) if number != 101])
    table: dict[int, Codec] = {}
    for codec in codecs:
        number = 101 if codec.is_event else static.get(codec.identity)
        if number is None or number in table:
            number = next(free)
        table[number] = codec
    return table


def own_answer(
    offer: SessionDescription,
    local: LocalMedia,
    origin: Origin,
    *,
    allowed: Sequence[str] = DEFAULT_ALLOWED,
    direction: Direction | None = None,
) -> SessionDescription:
    """Return an answer to `offer` that we make ourselves.

    It has the first allowed audio codec of `offer`, and its telephone-event codecs with the same
    clock. `direction` None means the reverse of the offer's. Raises `SdpParseError` (488) if there
    is no audio, no audio with the protection that `local.srtp` requires, or no allowed audio codec.
    """
    index = carried_index(offer, allowed, local.srtp)
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
    transport = answer_to(section, local)
    written = rewrite(alone, local, origin, direction=wanted, transport=transport)
    return _place_in_offer(written, offer, index)
