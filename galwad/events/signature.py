"""The signature of a request, as the Standard Webhooks specification 1.0.0 defines it.

The key is 24 to 64 octets in base64, as `openssl rand -base64 32` makes, with or without "whsec_"
before it.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from typing import Final

from callerid.errors import SourceError

_PREFIX: Final = "whsec_"
_LENGTHS: Final = range(24, 65)


def signing_key(text: str) -> bytes:
    """Return the octets of a key.

    Raises:
        SourceError: The text is not a key. The message does not repeat it.
    """
    try:
        key = base64.b64decode(text.removeprefix(_PREFIX), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if len(key) not in _LENGTHS:
        raise SourceError(
            "the signing key must be 24 to 64 octets in base64, such as `openssl rand -base64 32`"
        )
    return key


def signature_headers(key: bytes, event_id: str, timestamp: int, body: bytes) -> dict[str, str]:
    """Return the header fields that name and sign a request at `timestamp` (Unix seconds)."""
    signed = f"{event_id}.{timestamp}.".encode() + body
    digest = hmac.new(key, signed, hashlib.sha256).digest()
    return {
        "webhook-id": event_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": f"v1,{base64.b64encode(digest).decode()}",
    }
