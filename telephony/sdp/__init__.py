"""SDP (RFC 8866) and offer/answer (RFC 3264): values, parser, negotiation. No I/O."""

from telephony.sdp.codecs import (
    DEFAULT_ALLOWED,
    STATIC_PAYLOADS,
    Codec,
    find_payload,
    payload_map,
    payload_rows,
)
from telephony.sdp.media import Direction, LocalMedia, Origin, RemoteMedia
from telephony.sdp.negotiation import (
    OWN_CODECS,
    answer_for,
    build_answer,
    build_offer,
    cut_offer,
    offer_for,
    remote_media,
    same_media,
)
from telephony.sdp.session import Line, MediaDescription, SessionDescription
from telephony.sdp.writing import rewrite

__all__ = [
    "DEFAULT_ALLOWED",
    "OWN_CODECS",
    "STATIC_PAYLOADS",
    "Codec",
    "Direction",
    "Line",
    "LocalMedia",
    "MediaDescription",
    "Origin",
    "RemoteMedia",
    "SessionDescription",
    "answer_for",
    "build_answer",
    "build_offer",
    "cut_offer",
    "find_payload",
    "offer_for",
    "payload_map",
    "payload_rows",
    "remote_media",
    "rewrite",
    "same_media",
]
