"""The errors of the exchange with an OpenID provider.

OidcError
├── ProviderError        the provider cannot be reached, or its answer cannot be used
├── BusyProviderError    too many people sign in at the same time
├── ResponseError        the response cannot complete a sign-in that this browser has begun
├── DeniedError          the provider reports that the person was not signed in
└── TokenError           the ID token is not accepted
    ├── StepUpError      the token does not prove the stronger sign-in that was asked for
    ├── UnknownKeyError  the provider's set does not have exactly one key for the token
    └── TokenClockError  the token's time and this machine's clock are too far apart
"""

from __future__ import annotations

from typing import ClassVar


class OidcError(Exception):
    """The base class of the errors in this module.

    Messages are for the journal. They never contain an authorization code, a token or a fact about
    a person. `reason` names the text that the page shows.
    """

    reason: ClassVar[str]


class ProviderError(OidcError):
    """The provider cannot be reached, or its answer cannot be used."""

    reason = "provider"


class BusyProviderError(OidcError):
    """Too many people sign in at the same time."""

    reason = "busy"


class ResponseError(OidcError):
    """The response is for no sign-in in progress in this browser, or its code or issuer is bad."""

    reason = "stale"


class DeniedError(OidcError):
    """The provider reports that the person was not signed in."""

    reason = "denied"


class TokenError(OidcError):
    """The ID token is not accepted."""

    reason = "token"


class StepUpError(TokenError):
    """The token does not prove the stronger sign-in that was asked for, or proves an older one."""

    reason = "weak"


class UnknownKeyError(TokenError):
    """The provider's set of keys does not have exactly one key for the token."""


class TokenClockError(TokenError):
    """The token's time and this machine's clock are too far apart."""

    reason = "clock"
