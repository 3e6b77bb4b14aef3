"""SDP (RFC 8866) and offer/answer (RFC 3264): values, parser, negotiation. No I/O."""

from telephony.sdp.agreement import agreed, agreed_index, remote_media, same_media
from telephony.sdp.codecs import (
    DEFAULT_ALLOWED,
    STATIC_PAYLOADS,
    Codec,
    find_payload,
    payload_map,
    payload_rows,
)
from telephony.sdp.crypto import Crypto, KeyPair, MasterKey, Srtp, Suite, fresh_keys
from telephony.sdp.media import Direction, LocalMedia, Origin, RemoteMedia
from telephony.sdp.negotiation import (
    OWN_CODECS,
    answer_for,
    build_answer,
    build_offer,
    cut_offer,
    offer_for,
)
from telephony.sdp.session import Line, MediaDescription, SessionDescription
from telephony.sdp.writing import renewed, rewrite

__all__ = [
    "DEFAULT_ALLOWED",
    "OWN_CODECS",
    "STATIC_PAYLOADS",
    "Codec",
    "Crypto",
    "Direction",
    "KeyPair",
    "Line",
    "LocalMedia",
    "MasterKey",
    "MediaDescription",
    "Origin",
    "RemoteMedia",
    "SessionDescription",
    "Srtp",
    "Suite",
    "agreed",
    "agreed_index",
    "answer_for",
    "build_answer",
    "build_offer",
    "cut_offer",
    "find_payload",
    "fresh_keys",
    "offer_for",
    "payload_map",
    "payload_rows",
    "remote_media",
    "renewed",
    "rewrite",
    "same_media",
]
