"""Offer and answer (RFC 3264) as a back-to-back user agent needs them.

One audio stream a leg. What one peer offers is cut to codecs we can decode, given our own
address and offered to the other; what that one answers is carried back in the first one's
payload types. Everything else that is offered is refused with port 0 in its place.

    caller                    us                       advisor
      offer  ───────────▶ offer_for(offer) ──────────────▶
      ◀─────────── answer_for(offer, answer) ◀─────── answer

A description without a stream that we can carry raises `SdpParseError` with status 488.
"""

from collections.abc import Sequence

from telephony.sdp.codecs import DEFAULT_ALLOWED, Codec
from telephony.sdp.media import Direction, LocalMedia, Origin, RemoteMedia
from telephony.sdp.session import SessionDescription


def cut_offer(
    offer: SessionDescription, allowed: Sequence[str] = DEFAULT_ALLOWED
) -> SessionDescription:
    """Leave the first plain-RTP audio section with its allowed codecs; refuse the others.

    Order, fmtp, ptime and unknown attributes are kept; refused sections stay with port 0.

    Raises:
        SdpParseError: status 488; no audio, SRTP only, or no allowed audio codec.
    """
    raise NotImplementedError


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
    raise NotImplementedError


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
    raise NotImplementedError


def build_offer(
    local: LocalMedia,
    origin: Origin,
    *,
    codecs: Sequence[Codec] | None = None,
    direction: Direction = Direction.SENDRECV,
    previous: SessionDescription | None = None,
) -> SessionDescription:
    """An offer of our own, for an INVITE that came without one or a party brought back.

    Without `codecs`: PCMA, PCMU, G722 and telephone-event/8000.
    """
    raise NotImplementedError


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
    raise NotImplementedError


def rewrite(
    session: SessionDescription,
    local: LocalMedia,
    origin: Origin,
    *,
    direction: Direction | None = None,
) -> SessionDescription:
    """`session` with our origin, address and ports, and without what names the peer's.

    Dropped: s=, i=, u=, e= and p= texts, ICE, DTLS and SDES attributes, rtcp, rtcp-mux. A live
    audio section gets `local`'s port; hold by 0.0.0.0 becomes a direction attribute.
    """
    raise NotImplementedError


def remote_media(
    theirs: SessionDescription, ours: SessionDescription | None = None
) -> RemoteMedia:
    """What the relay must know of a peer that said `theirs`, while we told it `ours`.

    The peer may send the payload types of `ours`, and, as some do, those of its own.

    Raises:
        SdpParseError: status 488; no live audio section, or no IP literal to send to.
    """
    raise NotImplementedError


def same_media(one: SessionDescription | None, other: SessionDescription | None) -> bool:
    """Whether two descriptions ask for the same media: an unchanged refresh.

    Compared are sections, addresses, ports, codecs with fmtp, direction; not o= or s=.
    """
    raise NotImplementedError
