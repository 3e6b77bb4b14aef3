"""Offer and answer (RFC 3264) for a back-to-back user agent.

Each leg has one audio stream. In the offer of one peer, we remove the codecs that we cannot decode
and replace the address by our own address. Then we send the offer to the other peer. The other
peer's answer goes back to the first peer, with the payload types of the first peer's offer. All
other streams in the offer are refused, which means that they stay in their place with port 0.

    caller                       us                           callee
      offer  ───────────▶ forwarded_offer(offer) ───────────────▶
      ◀─────────── forwarded_answer(offer, answer) ◀─────────── answer

For a description without a stream that we can carry, the functions raise `SdpParseError` with
status 488. They raise the same error for a description that asks for T.38 (fax) in place of audio,
because a fax is not a conversation. After the refusal, the peer sends the fax as G.711, which we
handle as audio. A fax stream next to an audio stream is refused with port 0. The module `transport`
decides how the stream of each leg is protected.
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
from telephony.sdp.transport import (
    answer_to,
    can_carry,
    first_offer,
    later_offer,
    usable_keys,
)
from telephony.sdp.writing import place_section, rewrite, session_lines, with_codecs

OWN_CODECS: tuple[Codec, ...] = (
    Codec("PCMA", 8000),
    Codec("PCMU", 8000),
    Codec("G722", 8000),
    Codec("telephone-event", 8000, 1, "0-16"),
)
"""The codecs in an offer that we make ourselves, unless `own_offer` is called with other codecs."""


def _kept(section: MediaDescription, allowed: Sequence[str]) -> dict[int, Codec]:
    return {n: codec for n, codec in section.codecs().items() if is_allowed(codec, allowed)}


def _speaks(table: Mapping[int, Codec]) -> bool:
    return any(codec.is_audio for codec in table.values())


def _carried(session: SessionDescription, allowed: Sequence[str], srtp: Srtp) -> int:
    """Return the index of the audio section that we carry; a section with SRTP keys is preferred.

    `allowed` has the encoding names of the codecs that we carry. `srtp` is the protection that the
    media may have.

    Raises:
        SdpParseError: There is no section that we can carry. The status is 488.
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
    """Return `offer` reduced to the audio section that we carry, with only the allowed codecs.

    All other media sections stay in their places, but with port 0 (refused). `allowed` has the
    encoding names of the allowed codecs. These codecs keep their sequence and their fmtp. Ptime and
    unknown attributes do not change. `srtp` is the protection that the media of the offer may have.

    Raises:
        SdpParseError: There is no audio, no audio with the protection that `srtp` requires, or no
            allowed codec. The status is 488.
    """
    index = _carried(offer, allowed, srtp)
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
    """Return our offer for the other leg, made from `offer`, which a peer has sent.

    Our offer has our own address, and only one audio section of `offer` (see `cut_offer`).

    Args:
        offer: The peer's offer.
        local: Our address on the other leg, and the protection of the media on that leg.
        origin: The o= line for the other leg.
        allowed: The encoding names of the codecs that our offer may contain.
        srtp: The protection that media may have on the leg of the peer that sent `offer`.
        previous: Our most recent description on the other leg. Our new offer has the same m-lines
            in the same sequence, and its codecs have the same payload types (RFC 3264 section 8).
            None means that the new offer has one audio section.
        direction: The direction to offer; None means the direction in `offer`.

    Raises:
        SdpParseError: There is no audio, no audio with the protection that `srtp` requires, or no
            allowed codec. The status is 488.
    """
    index = _carried(offer, allowed, srtp)
    section, before = _cut(offer.media[index], allowed), live_section(previous)
    if before is not None:
        section = _with_payload_types_of(section, before)
    transport = first_offer(local) if before is None else later_offer(before)
    alone = SessionDescription(offer.lines, (section,))
    wanted = direction or offer.direction(index)
    return _in_shape_of(
        rewrite(alone, local, origin, direction=wanted, transport=transport), previous
    )


def _with_payload_types_of(section: MediaDescription, before: MediaDescription) -> MediaDescription:
    """Return a media section with the payload types that its codecs have in `before`.

    A codec that is not in `before` gets a payload type that `before` does not use.
    """
    table = section.codecs()
    numbers = renumbered(table, before.codecs())
    return with_codecs(section, {new: table[n] for n, new in numbers.items()}, numbers)


def _in_shape_of(
    session: SessionDescription, previous: SessionDescription | None
) -> SessionDescription:
    """Return `session` with as many media sections as `previous`.

    The only media section of `session` gets the place that the audio section has in `previous`. All
    other media sections are those of `previous`, but refused. If `previous` is None, `session` is
    returned unchanged.
    """
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
    """Return the answer for the peer that made `offer`, made from the other peer's `answer`.

    The result has the media sections of `offer`. Its codecs have the sequence of `answer` and the
    payload types of `offer`. `local` is our address on the leg of the peer that made `offer`,
    `origin` is the o= line for this leg, and `allowed` has the encoding names that the result may
    contain.

    Raises:
        SdpParseError: `answer` refuses the audio or has no audio codec in common with `offer`, or
            `offer` has no section that we can carry. The status is 488.
    """
    index = _carried(offer, allowed, local.srtp)
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
    """Return the codecs that an answer and its offer have in common, and their payload types.

    `offered` and `answered` are the codec tables of the offer and of the answer. The first result
    is a codec table with the payload types of the offer. The second result is a table from the
    payload type in the answer to the payload type in the offer.
    """
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
    """Return an answer to `offer` with one accepted media section, the only one of `written`.

    The accepted section is placed at `index`. All other sections are those of `offer`, but refused
    with port 0.
    """
    return SessionDescription(written.lines, place_section(written.media[0], offer.media, index))


def own_offer(
    local: LocalMedia,
    origin: Origin,
    *,
    codecs: Sequence[Codec] = OWN_CODECS,
    direction: Direction = Direction.SENDRECV,
    previous: SessionDescription | None = None,
) -> SessionDescription:
    """Return an offer that we make ourselves, without an offer of another peer.

    `previous` is our most recent description on the leg, or None. The new offer has the media
    sections of `previous`, in the same sequence.
    """
    table = _numbered(codecs)
    lines = [SdpLine("a", f"rtpmap:{number} {codec}") for number, codec in table.items()]
    lines += [SdpLine("a", f"fmtp:{n} {codec.fmtp}") for n, codec in table.items() if codec.fmtp]
    before = live_section(previous)
    transport = first_offer(local) if before is None else later_offer(before)
    lines += [SdpLine("a", "ptime:20"), *transport.lines(), SdpLine("a", direction.value)]
    formats = tuple(map(str, table))
    audio = MediaDescription("audio", local.port, transport.profile, formats, tuple(lines))
    return _in_shape_of(SessionDescription(session_lines(local, origin), (audio,)), previous)


def _numbered(codecs: Sequence[Codec]) -> dict[int, Codec]:
    """Return a codec table, in which each codec has a payload type.

    A codec with a static payload type gets this payload type. The first telephone-event codec gets
    101. All other codecs get free payload types from 96.
    """
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
    """Return an answer to `offer` that we make ourselves, without an answer of another peer.

    The answer has the first allowed audio codec of `offer`. It also has the telephone-event codecs
    of `offer` that have the same clock as the audio codec. If `direction` is None, the answer has
    the reverse of the offer's direction.

    Raises:
        SdpParseError: There is no audio, no audio with the protection that `local.srtp` requires,
            or no allowed codec. The status is 488.
    """
    index = _carried(offer, allowed, local.srtp)
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
