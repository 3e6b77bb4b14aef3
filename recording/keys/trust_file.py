"""The trust file: the public keys of the nodes whose manifests an officer trusts.

The officer's signing key signs it, so a key that somebody adds later is not trusted.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable
from typing import Final

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from recording.errors import KeySetError, ManifestError
from recording.keys.keyring import parse_public
from recording.keys.signed_document import DocumentType

FORMAT: Final = "galwad-trust-1"
FILE_NAME: Final = "trusted-nodes.json"
"""The usual name, in the folder of the officer's keys."""


class TrustFile(msgspec.Struct, frozen=True):
    """The nodes (keys in base64) that an officer trusts, and the date (ISO 8601 in UTC)."""

    format: str
    signed_at: str
    node_keys: list[str]


_SIGN_HINT: Final = "the officer must sign the trust file again"
_DOCUMENT: Final = DocumentType("trust-file", FORMAT, TrustFile, "officer")


def sign_trust(node_keys: Iterable[str], key: Ed25519PrivateKey) -> bytes:
    """Return the content of a trust file for these nodes, signed by the officer."""
    signed_at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    return _DOCUMENT.sign(TrustFile(FORMAT, signed_at, sorted(set(node_keys))), key)


def trusted_nodes(content: bytes, officer_keys: Collection[str]) -> tuple[str, ...]:
    """Return the keys of the nodes in a trust file that one of these officers signed.

    Raises:
        KeySetError: The file is malformed, names no node, or has no signature by these officers.
    """
    try:
        keys = tuple(_DOCUMENT.read(content, officer_keys).node_keys)
    except ManifestError as error:
        raise KeySetError(str(error), _SIGN_HINT) from None
    for key in keys:
        parse_public(key)
    if not keys:
        raise KeySetError("the trust-file names no node", _SIGN_HINT)
    return keys
