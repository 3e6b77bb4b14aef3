"""The discovery document of a provider (OpenID Connect Discovery 1.0, section 3)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, Self
from urllib.parse import urlsplit

from config.urls import is_loopback
from galwad.people.oidc.errors import ProviderError

_LONGEST = 2048


@dataclass(frozen=True, slots=True)
class ProviderMetadata:
    """The parts of a discovery document that the sign-in needs.

    `end_session` is empty if the provider offers no sign-out. `names_issuer` is true if each
    response of the provider must name its issuer (RFC 9207).
    """

    issuer: str
    authorization: str
    token: str
    keys: str
    end_session: str = ""
    secret_place: Literal["header", "body"] = "header"  # noqa: S105 - the place, not the secret
    names_issuer: bool = False

    @classmethod
    def parse(cls, document: Any, issuer: str) -> Self:
        """Return the metadata of the provider `issuer`, whose document this must be.

        Raises:
            ProviderError: The document is of another issuer, or lacks a part.
        """
        if not isinstance(document, dict):
            raise ProviderError("the discovery document is not an object")
        if document.get("issuer") != issuer:
            raise ProviderError("the discovery document is of another issuer than [sign_in] issuer")
        methods = document.get("code_challenge_methods_supported")
        if isinstance(methods, list) and "S256" not in methods:
            raise ProviderError("the provider does not support PKCE with S256")
        end = document.get("end_session_endpoint")
        return cls(
            issuer,
            _endpoint(document, "authorization_endpoint"),
            _endpoint(document, "token_endpoint"),
            _endpoint(document, "jwks_uri"),
            "" if end is None else _endpoint(document, "end_session_endpoint"),
            _place_of_secret(document.get("token_endpoint_auth_methods_supported")),
            document.get("authorization_response_iss_parameter_supported") is True,
        )


def _endpoint(document: dict[str, Any], name: str) -> str:
    """Return the address of an endpoint, which has TLS or is on this machine."""
    value = document.get(name)
    if not isinstance(value, str) or len(value) > _LONGEST or not value.isascii():
        raise ProviderError(f"the discovery document has no address in {name}")
    try:
        parts = urlsplit(value)
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        raise ProviderError(f"the discovery document has no address in {name}") from None
    secure = parts.scheme == "https" or (parts.scheme == "http" and is_loopback(host))
    plain = value.isprintable() and " " not in value and not parts.fragment
    if not (host and secure and plain) or parts.username is not None:
        raise ProviderError(f"the discovery document has no address with TLS in {name}")
    return value


def _place_of_secret(methods: Any) -> Literal["header", "body"]:
    """Return where the token endpoint takes the secret; the default is the header (section 3)."""
    if not isinstance(methods, list) or "client_secret_basic" in methods:
        return "header"
    if "client_secret_post" in methods:
        return "body"
    raise ProviderError("the provider takes no client secret at its token endpoint")
