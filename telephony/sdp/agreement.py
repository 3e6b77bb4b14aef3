"""The result of an SDP offer and its answer: the address and the keys for the media.

`ours` is the session description that we sent, and `theirs` the peer's. Either can be the offer.
"""

from collections.abc import Mapping
from dataclasses import replace

from telephony.errors import SdpParseError
from telephony.sdp.codecs import Codec
from telephony.sdp.crypto import KeyPair, key_pair, parse_crypto_lines
from telephony.sdp.media import Direction, RemoteMedia, ip_literal
from telephony.sdp.session import MediaDescription, SessionDescription
from telephony.sdp.writing import Transport


def live_section(said: SessionDescription | None) -> MediaDescription | None:
    """Return the first section with `is_rtp_audio` true (live); None if there is none."""
    index = said.audio_index() if said is not None else None
    return said.media[index] if said is not None and index is not None else None


def remote_media(
    theirs: SessionDescription, ours: SessionDescription | None = None, index: int | None = None
) -> RemoteMedia:
    """Return the values that the media relay must know about a peer.

    `ours` is None before we have sent a description. `index` is the section of `theirs` to use;
    None means `agreed_index`. Media flows only in the directions that both sides allow. The result
    has the payload types of both descriptions, because some peers also send with their own. If the
    descriptions give a payload type different codecs, the result has the codec in `ours`, provided
    that the peer accepts it.

    Raises `SdpParseError` (488) if there is no live audio section, its address is not a unicast IP
    literal, or a side uses SRTP and the two sides agree on no key.
    """
    if index is None:
        index = agreed_index(theirs, ours)
    if index is None:
        raise SdpParseError("there is no live audio section", status=488)
    section, own = theirs.media[index], live_section(ours)
    said, allowed = theirs.direction(index), Direction.SENDRECV
    takes = section.codecs()
    sent: dict[int, Codec] = {}
    if ours is not None and own is not None:
        sent, allowed = own.codecs(), ours.direction(ours.media.index(own))
    mux = own is not None and all(s.attribute("rtcp-mux") is not None for s in (own, section))
    host = _literal(theirs.host(index))
    return RemoteMedia(
        host=host,
        rtp_port=section.port,
        rtcp_port=section.port if mux else _rtcp_port(section),
        rtcp_host="" if mux else _rtcp_host(section, host),
        receive=said.receives and allowed.sends,
        send=said.sends and allowed.receives,
        payloads=sent | takes | _common(sent, takes),
        accepts=takes,
        rtcp_mux=mux,
        keys=_keys(own, section) if own is not None else None,
    )


def _common(sent: Mapping[int, Codec], takes: Mapping[int, Codec]) -> dict[int, Codec]:
    """Return the part of our codec table `sent` that the peer accepts (`takes`).

    A codec that the peer does not accept must not be in the result, because the peer may use the
    same payload type for DTMF digits.
    """
    known = {codec.identity for codec in takes.values()}
    return {number: codec for number, codec in sent.items() if codec.identity in known}


def agreed_index(theirs: SessionDescription, ours: SessionDescription | None) -> int | None:
    """Return the index in `theirs` of the audio section that both agree on; None if there is none.

    This is the first live section in `ours`, if the section at the same index in `theirs` is live.
    Otherwise it is the first live section in `theirs`.
    """
    index = ours.audio_index() if ours is not None else None
    if index is not None and index < len(theirs.media) and theirs.media[index].is_rtp_audio:
        return index
    return theirs.audio_index()


def _keys(own: MediaDescription, section: MediaDescription) -> KeyPair | None:
    """Return the SRTP keys of our (`own`) and the peer's section; None if neither uses SRTP.

    Raises `SdpParseError` (488) if a side uses SRTP and the two sides agree on no key.
    """
    sent = parse_crypto_lines(own.attributes("crypto"))
    if not sent and not own.is_secure and not section.is_secure:
        return None
    pair = key_pair(sent, parse_crypto_lines(section.attributes("crypto")))
    if pair is None:
        raise SdpParseError("offer and answer agree on no SRTP key", status=488)
    return pair


def agreed(ours: SessionDescription, theirs: SessionDescription) -> SessionDescription:
    """Return `ours` with only the SRTP key that `theirs` chose, or unchanged if it chose none."""
    index, other = ours.audio_index(), agreed_index(theirs, ours)
    if index is None or other is None:
        return ours
    section, answered = ours.media[index], theirs.media[other]
    sent = parse_crypto_lines(section.attributes("crypto"))
    pair = key_pair(sent, parse_crypto_lines(answered.attributes("crypto")))
    if pair is None or len(sent) == 1:
        return ours
    kept = [line for line in sent if line.key == pair.ours]
    lines = [line for line in section.lines if not line.value.lower().startswith("crypto:")]
    lines[-1:-1] = Transport(section.protocol, tuple(kept)).lines()
    media = list(ours.media)
    media[index] = replace(section, lines=tuple(lines))
    return SessionDescription(ours.lines, tuple(media))


def _literal(host: str | None) -> str:
    try:
        address = ip_literal(host or "")
    except ValueError:
        raise SdpParseError("the connection address is not an IP address", status=488) from None
    if address.is_multicast:
        raise SdpParseError("the connection address is multicast", status=488)
    return str(address)


def _rtcp_port(section: MediaDescription) -> int:
    """Return the RTCP port from a=rtcp (RFC 3605). Without a=rtcp, it is the RTP port plus one."""
    words = (section.attribute("rtcp") or "").split()
    if words and words[0].isascii() and words[0].isdigit() and len(words[0]) < 6:
        port = int(words[0])
        if 0 < port < 65_536:
            return port
    return min(section.port + 1, 65_535)


def _rtcp_host(section: MediaDescription, host: str) -> str:
    """Return the RTCP address from the a=rtcp attribute (RFC 3605).

    Return "" if it is absent, equal to `host`, of another IP version, or not a unicast address.
    """
    words = (section.attribute("rtcp") or "").split()
    if len(words) != 4:
        return ""
    try:
        address = ip_literal(words[3])
    except ValueError:
        return ""
    fits = address.version == ip_literal(host).version and not address.is_multicast
    return str(address) if fits and not address.is_unspecified and str(address) != host else ""


def same_media(one: SessionDescription | None, other: SessionDescription | None) -> bool:
    """Return whether two session descriptions ask for the same media.

    If they do, the later one only refreshes the session. Of the session-level lines, only a=, b=
    and c= are compared. None is equal only to None.
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
