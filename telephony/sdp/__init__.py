"""SDP (RFC 8866) and offer/answer (RFC 3264): values, a parser and the negotiation.

This package does no input or output.
"""

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
    carried_index,
    cut_offer,
    forwarded_answer,
    forwarded_offer,
    own_answer,
    own_offer,
)
from telephony.sdp.session import MediaDescription, SdpLine, SessionDescription
from telephony.sdp.writing import rewrite, with_origin

__all__ = [
    "DEFAULT_ALLOWED",
    "OWN_CODECS",
    "STATIC_PAYLOADS",
    "Codec",
    "Crypto",
    "Direction",
    "KeyPair",
    "LocalMedia",
    "MasterKey",
    "MediaDescription",
    "Origin",
    "RemoteMedia",
    "SdpLine",
    "SessionDescription",
    "Srtp",
    "Suite",
    "agreed",
    "agreed_index",
    "carried_index",
    "cut_offer",
    "find_payload",
    "forwarded_answer",
    "forwarded_offer",
    "fresh_keys",
    "own_answer",
    "own_offer",
    "payload_map",
    "payload_rows",
    "remote_media",
    "rewrite",
    "same_media",
    "with_origin",
]
