"""The ID token: which claims it must have (OpenID Connect Core 1.0, section 3.1.3.7).

The desk gets the token directly from the provider, so it is new. A token that seems to be from the
future, or minutes old, shows that one of the clocks is wrong.

The stronger sign-in for sensitive acts (step-up) is here too: how it is requested, and how an ID
token proves it. Two claims are in use. `acr` names the class of the authentication that took place
(OpenID Connect Core 1.0, section 2), for example at Keycloak or LemonLDAP::NG. `acrs` of Entra ID
lists the authentication contexts whose policies the person has met.
"""

from __future__ import annotations

import hmac
import json
from dataclasses import dataclass
from typing import Any, Final, Literal

from galwad.people.oidc.errors import StepUpError, TokenClockError, TokenError

SLACK_S: Final = 5.0
"""The seconds by which `auth_time` may be before the step-up, because it has whole seconds."""


@dataclass(frozen=True, slots=True)
class StepUp:
    """The stronger sign-in that the settings name: a value of the claim `acr` or `acrs`."""

    value: str
    claim: Literal["acr", "acrs"]

    def parameters(self) -> dict[str, str]:
        """Return the parameters with which the provider is asked for the stronger sign-in.

        The claim is requested as essential (OpenID Connect Core 1.0, section 5.5.1). For `acr`,
        `prompt` and `max_age` also ask for a new sign-in, even if the provider still has a session
        (section 3.1.2.1). `acr_values` is for providers that ignore `claims`.
        """
        wanted: dict[str, object] = {self.claim: {"essential": True, "value": self.value}}
        if self.claim == "acrs":
            return {"claims": json.dumps({"id_token": wanted})}
        wanted["auth_time"] = {"essential": True}
        return {
            "claims": json.dumps({"id_token": wanted}),
            "acr_values": self.value,
            "prompt": "login",
            "max_age": "0",
        }

    def check(self, claims: dict[str, Any], elapsed: float) -> None:
        """Check that an accepted ID token proves the stronger sign-in.

        `elapsed` is the number of seconds since the step-up began. The nonce has shown already that
        the provider issued the token for this step-up (section 3.1.3.7, item 11).

        `acr` says how strong the sign-in was, but not when it took place: a provider may answer
        from a session of this morning. So `auth_time` must be in the time since the step-up began
        (item 13). `auth_time` is compared with `iat`, which is from the same clock. So it does not
        matter that the provider's clock and this machine's differ.

        `acrs` needs no `auth_time`. Entra ID evaluates the policy of the authentication context
        for each token, and the policy says how often the person must prove it ("sign-in
        frequency"). Entra ID does not send `auth_time` by default.

        Raises:
            StepUpError: The claim lacks the value, the person has not signed in again, or
                `auth_time` is in the future.
            TokenError: A claim with a time is missing.
        """
        given = claims.get(self.claim)
        values = given if self.claim == "acrs" and isinstance(given, list) else [given]
        if self.value not in values:
            raise StepUpError(
                f"the claim {self.claim} of the ID token lacks the value of [sign_in] step_up"
            )
        if self.claim == "acrs":
            return
        issued, signed_in = time_claim(claims, "iat"), time_claim(claims, "auth_time")
        if issued - signed_in > elapsed + SLACK_S:
            raise StepUpError("the person has not signed in again: auth_time is before the step-up")
        if signed_in > issued + LEEWAY_S:
            raise StepUpError("the ID token has an auth_time in the future")


LEEWAY_S: Final = 60.0
"""The seconds for which a token is accepted before and after its lifetime."""
MOST_SKEW_S: Final = 300.0
"""The most seconds between the time at which a token was issued and this machine's clock."""
_LONGEST: Final = 255
_MOST_VALUES: Final = 200


@dataclass(frozen=True, slots=True)
class ExpectedToken:
    """The values that the claims of an ID token must have. `tenant` is empty if there is none."""

    issuer: str
    client_id: str
    nonce: str
    tenant: str = ""


@dataclass(frozen=True, slots=True)
class IdToken:
    """The claims of an ID token that is accepted."""

    subject: str
    """The identity at the issuer: `sub`, or `oid` in the expected tenant of Entra ID."""
    roles: frozenset[str]
    name: str
    """The name that the provider suggests. Another person may have had it before."""

    @classmethod
    def accept(
        cls,
        claims: dict[str, Any],
        expected: ExpectedToken,
        now: float,
        *,
        roles_claim: str = "roles",
    ) -> IdToken:
        """Check the claims of a token whose signature is right, and return the facts in them.

        `now` is the Unix time in seconds.

        Raises:
            TokenClockError: The token was issued more than `MOST_SKEW_S` before or after `now`.
            TokenError: A claim is missing or has another value than expected, or the token is not
                valid now.
        """
        if claims.get("iss") != expected.issuer:
            raise TokenError("the ID token is of another issuer")
        _check_audience(claims, expected.client_id)
        _check_times(claims, now)
        nonce = claims.get("nonce")
        if not isinstance(nonce, str) or not hmac.compare_digest(
            nonce.encode(errors="replace"), expected.nonce.encode()
        ):
            raise TokenError("the ID token is of another sign-in")
        if expected.tenant and claims.get("tid") != expected.tenant:
            raise TokenError("the ID token is of another tenant")
        name = claims.get("preferred_username")
        return cls(
            _text(claims, "oid" if expected.tenant else "sub"),
            _words(claims.get(roles_claim)),
            name if isinstance(name, str) else "",
        )


def _check_audience(claims: dict[str, Any], client_id: str) -> None:
    audience = claims.get("aud")
    audiences = [audience] if isinstance(audience, str) else audience
    if not isinstance(audiences, list) or client_id not in audiences:
        raise TokenError("the ID token is for another client")
    presenter = claims.get("azp")
    if presenter not in {None, client_id} if isinstance(presenter, str | None) else True:
        raise TokenError("the ID token was issued to another client")
    if presenter is None and len(audiences) > 1:
        raise TokenError("the ID token is for several clients, and does not say who may present it")


def _check_times(claims: dict[str, Any], now: float) -> None:
    issued, expires = time_claim(claims, "iat"), time_claim(claims, "exp")
    if abs(now - issued) > MOST_SKEW_S:
        late = "behind" if issued > now else "ahead"
        raise TokenClockError(
            f"the clock of this machine is {abs(now - issued):.0f} s {late} of the provider's: "
            "correct it, for example with chrony"
        )
    if now >= expires + LEEWAY_S:
        raise TokenError("the ID token has expired")
    if "nbf" in claims and now < time_claim(claims, "nbf") - LEEWAY_S:
        raise TokenError("the ID token is not valid yet")


def time_claim(claims: dict[str, Any], name: str) -> float:
    """Return the Unix time in seconds of a claim; raise TokenError if it has none."""
    value = claims.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < 1e12:
        raise TokenError(f"the ID token has no time in {name}")
    return float(value)


def _text(claims: dict[str, Any], name: str) -> str:
    value = claims.get(name)
    if not isinstance(value, str) or not 0 < len(value) <= _LONGEST or not value.isprintable():
        raise TokenError(f"the ID token has no {name}")
    return value


def _words(value: Any) -> frozenset[str]:
    """Return the texts of a claim, which is one text or a list."""
    words = [value] if isinstance(value, str) else value
    if not isinstance(words, list):
        return frozenset()
    return frozenset(word for word in words[:_MOST_VALUES] if isinstance(word, str))
