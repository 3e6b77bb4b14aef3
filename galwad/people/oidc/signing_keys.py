"""The provider's public keys (RFC 7517), and the check of a signature with one of them (RFC 7515).

joserfc does both. This module turns its many kinds of errors into `TokenError`, or skips the key.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from cryptography.exceptions import UnsupportedAlgorithm
from joserfc import jws
from joserfc.errors import JoseError, SecurityWarning
from joserfc.jwk import ECKey, JWKRegistry, OKPKey, RSAKey

from galwad.people.oidc.errors import ProviderError, TokenError, UnknownKeyError
from net.errors import ServerError
from net.json_client import parse_json

KEY_TYPES: Final = {"RS256": "RSA", "PS256": "RSA", "ES256": "EC", "EdDSA": "OKP"}
"""The algorithms of signatures that are accepted, each with the type of its keys.

There is no "none", and there are no symmetric algorithms.
"""
_PUBLIC: Final = ("kty", "n", "e", "crv", "x", "y")
_CURVES: Final = {"EC": "P-256", "OKP": "Ed25519"}
_LEAST_RSA_BITS: Final = 2048
_MOST_KEYS: Final = 100
_LONGEST_TOKEN: Final = 1 << 16
_FAULTS: Final = (JoseError, UnsupportedAlgorithm, ValueError, TypeError, KeyError, AttributeError)
_HEADER: Final = frozenset({"alg", "kid", "typ", "cty", "x5t", "x5t#S256", "x5c", "jku", "x5u"})


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A public key. `kid` and `algorithm` are empty if the set does not name them."""

    kid: str
    algorithm: str
    key: RSAKey | ECKey | OKPKey

    def fits(self, algorithm: str) -> bool:
        """Return whether the key may check signatures of this algorithm."""
        return self.key.key_type == KEY_TYPES[algorithm] and self.algorithm in {"", algorithm}


def parse_keys(document: Any) -> tuple[SigningKey, ...]:
    """Return the usable keys in a set; raise ProviderError if it has none or cannot be read."""
    listed = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(listed, list) or len(listed) > _MOST_KEYS:
        raise ProviderError("the provider's keys are not a set that can be read")
    keys = tuple(key for each in listed if (key := _key(each)) is not None)
    if not keys:
        raise ProviderError("the provider's set has no key that can be used")
    return keys


def _key(entry: Any) -> SigningKey | None:
    """Return the key in an entry of a set; None if it cannot check the signature of a token."""
    if not isinstance(entry, dict) or entry.get("use", "sig") != "sig":
        return None
    public: dict[str, str | list[str]] = {
        name: str(entry[name]) for name in _PUBLIC if name in entry
    }
    kind, kid, algorithm = (str(entry.get(name, "")) for name in ("kty", "kid", "alg"))
    if kind not in KEY_TYPES.values() or public.get("crv") != _CURVES.get(kind):
        return None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SecurityWarning)
            key = JWKRegistry.import_key(public)
    except _FAULTS:
        return None
    if not isinstance(key, RSAKey | ECKey | OKPKey) or _is_weak(key):
        return None
    # RFC 9864 calls EdDSA with this curve "Ed25519".
    return SigningKey(kid, "EdDSA" if algorithm == "Ed25519" else algorithm, key)


def _is_weak(key: RSAKey | ECKey | OKPKey) -> bool:
    return isinstance(key, RSAKey) and key.public_key.key_size < _LEAST_RSA_BITS


def verified_claims(token: str, keys: Sequence[SigningKey]) -> dict[str, Any]:
    """Return the claims of a token that is signed with one of the keys.

    Raises:
        UnknownKeyError: None of the keys, or more than one, fits the token's key id and algorithm.
        TokenError: The token cannot be read, has another algorithm, or is not signed by the key.
    """
    if len(token) > _LONGEST_TOKEN or not token.isascii():
        raise TokenError("the ID token cannot be read")
    algorithm, kid = _header(token)
    named = [each for each in keys if each.fits(algorithm) and kid in {"", each.kid}]
    if len(named) != 1:
        raise UnknownKeyError("the provider does not have exactly one key for this ID token")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SecurityWarning)
            signed = jws.deserialize_compact(token, named[0].key, registry=_registry(algorithm))
    except _FAULTS:
        raise TokenError("the signature of the ID token is wrong") from None
    try:
        claims = parse_json(signed.payload)
    except ServerError:
        raise TokenError("the ID token has no claims that can be read") from None
    if not isinstance(claims, dict):
        raise TokenError("the claims of the ID token are not an object")
    return claims


def _header(token: str) -> tuple[str, str]:
    """Return the algorithm and the key id in a token's header."""
    try:
        header = jws.extract_compact(token.encode(), registry=_registry(*KEY_TYPES)).headers()
        algorithm, kid = header["alg"], header.get("kid", "")
    except (*_FAULTS, RecursionError):
        raise TokenError("the ID token cannot be read") from None
    if not isinstance(algorithm, str) or algorithm not in KEY_TYPES or not isinstance(kid, str):
        raise TokenError("the ID token has an algorithm that is not accepted")
    if not header.keys() <= _HEADER:  # such as "crit", which would change the meaning
        raise TokenError("the ID token has a header field that is not known")
    return algorithm, kid


def _registry(*algorithms: str) -> jws.JWSRegistry:
    """Return joserfc's rules for tokens: these algorithms, and our own limit of the length."""
    registry = jws.JWSRegistry(algorithms=algorithms)
    registry.max_header_length = registry.max_payload_length = _LONGEST_TOKEN
    return registry
