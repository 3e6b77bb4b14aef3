"""The stronger sign-in for sensitive acts: how it is requested, and how an ID token proves it.

Two claims are in use. `acr` names the class of the authentication that took place (OpenID Connect
Core 1.0, section 2), for example at Keycloak or LemonLDAP::NG. `acrs` of Entra ID lists the
authentication contexts whose policies the person has met.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Final, Literal

from galwad.people.oidc.errors import StepUpError
from galwad.people.oidc.id_token import LEEWAY_S, time_claim

SLACK_S: Final = 5.0
"""The seconds that a sign-in may seem older than its step-up: times in tokens are whole seconds."""


@dataclass(frozen=True, slots=True)
class StepUp:
    """The stronger sign-in that the settings name: a value of the claim `acr` or `acrs`."""

    value: str
    claim: Literal["acr", "acrs"]

    def parameters(self) -> dict[str, str]:
        """Return the parameters with which the provider is asked for the stronger sign-in.

        The claim is requested as essential (OpenID Connect Core 1.0, section 5.5.1). For `acr`,
        the person must also sign in again, even if the provider still has a session: `prompt` and
        `max_age` say so (section 3.1.2.1), and with `max_age`, the token must have `auth_time`.
        `acr_values` is for providers that ignore `claims`.
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
        """Check that an accepted ID token proves the stronger sign-in, and proves it now.

        `elapsed` is the number of seconds since the step-up began. The nonce has shown already that
        the provider issued the token for this step-up (section 3.1.3.7, item 11).

        `acr` says how strong the sign-in was, but not when it took place: a provider may answer
        from a session of this morning. So `auth_time` must be in the time since the step-up began
        (item 13). It is compared with `iat`, which is from the same clock. So it does not matter
        that the provider's clock and this machine's differ.

        `acrs` needs no `auth_time`. Entra ID evaluates the policy of the authentication context
        for each token, and the policy says how often the person must prove it ("sign-in
        frequency"). Entra ID does not send `auth_time` by default.

        Raises:
            StepUpError: The claim lacks the value, or the person has not signed in again.
            TokenError: A claim with a time is missing.
        """
        given = claims.get(self.claim)
        values = given if self.claim == "acrs" and isinstance(given, list) else [given]
        if self.value not in values:
            raise StepUpError(
                f"the ID token does not have the value of [sign_in] step_up in {self.claim}"
            )
        if self.claim == "acrs":
            return
        issued, signed_in = time_claim(claims, "iat"), time_claim(claims, "auth_time")
        if issued - signed_in > elapsed + SLACK_S:
            raise StepUpError("the person has not signed in again: auth_time is before the step-up")
        if signed_in > issued + LEEWAY_S:
            raise StepUpError("the ID token has an auth_time in the future")
