"""The sign-in with the provider's account, from the first redirect to the identity of the person.

What a browser sends back is checked here: that it has begun the sign-in, that the response is the
provider's (RFC 9207), and that its code belongs to it. Which user the identity is, is decided in
`galwad.desk.auth.identities`.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Final, get_args
from urllib.parse import urlencode

from config.sign_in import PersonRole, SignInSection
from galwad.desk.oidc.errors import (
    BusyProviderError,
    DeniedError,
    ProviderError,
    ResponseError,
)
from galwad.desk.oidc.id_token import ExpectedToken, IdToken
from galwad.desk.oidc.pending import PendingSignIn, PendingSignIns
from galwad.desk.oidc.provider import Provider, named_error
from galwad.desk.oidc.step_up import StepUp

CALLBACK: Final = "/api/v1/sign-in/callback"
"""The path to which the provider sends the browser back."""
MOST_AT_ONCE: Final = 64
MOST_FROM_A_NETWORK: Final = 16
"""The most codes that are exchanged at the same time, in all and for each network."""


class ProviderSignIn:
    """The sign-in at one provider.

    `origin` is the origin of the page, to which the provider sends people back. `clock` returns the
    Unix time in seconds.
    """

    def __init__(
        self, section: SignInSection, origin: str, clock: Callable[[], float] = time.time
    ) -> None:
        self.section = section
        self._origin = origin
        self._clock = clock
        self._provider = Provider(section)
        self._pending = PendingSignIns(clock)
        self._exchanging: Counter[str] = Counter()
        self._step_up = (
            None if section.step_up is None else StepUp(section.step_up, section.step_up_claim)
        )

    async def begin(
        self, cookie: str, language: str = "en", *, session: str = "", place: str = ""
    ) -> tuple[str, str]:
        """Begin a sign-in; return the provider's address, and the new value of the cookie.

        If `session` is the key of a session, its person must prove the stronger sign-in that the
        settings name. `place` is the fragment of the page's address from which they do.

        Raises:
            ProviderError: The provider cannot be reached, or its documents cannot be used.
        """
        metadata = await self._provider.metadata()
        pending, cookie = self._pending.begin(cookie, session, place)
        query = {
            "response_type": "code",
            "client_id": self.section.client_id,
            "redirect_uri": self._origin + CALLBACK,
            "scope": " ".join(self.section.scopes),
            "state": pending.state,
            "nonce": pending.nonce,
            "code_challenge": pending.challenge,
            "code_challenge_method": "S256",
            "ui_locales": language,
        }
        if session and self._step_up is not None:
            query |= self._step_up.parameters()
        return _with_query(metadata.authorization, query), cookie

    def take(self, cookie: str, response: Mapping[str, str]) -> PendingSignIn:
        """Return the sign-in to which the provider's response belongs. It is taken only once.

        `response` has the parameters of the address to which the browser was sent back.

        Raises:
            ResponseError: This browser has begun no such sign-in, or it is over.
        """
        return self._pending.complete(cookie, response.get("state", ""))

    async def complete(
        self, pending: PendingSignIn, response: Mapping[str, str], network: str
    ) -> IdToken:
        """Complete a sign-in that was taken; return the token of the person.

        Raises:
            ResponseError: The response is of another provider, or its code is not accepted.
            DeniedError: The provider has not signed the person in.
            StepUpError: A step-up was asked for, and the ID token does not prove it.
            TokenError: The ID token is not accepted.
            ProviderError: The provider cannot be reached, or its answer cannot be used.
            BusyProviderError: Too many people sign in at the same time.
        """
        known = self._provider.known
        issuer = response.get("iss")
        if known is None or (issuer is None and known.names_issuer):
            raise ResponseError("the response does not name the provider")
        if issuer not in {None, self.section.issuer}:
            raise ResponseError("the response is of another provider")
        if "error" in response:
            code = named_error(response["error"])
            if code in {"server_error", "temporarily_unavailable", "invalid_request"}:
                raise ProviderError(f"the provider reports an error: {code}")
            raise DeniedError(f"the provider has not signed the person in: {code}")
        if not response.get("code"):
            raise ResponseError("the response has no code")
        with self._turn(network):
            claims = await self._provider.redeem(response["code"], pending, self._origin + CALLBACK)
        expected = ExpectedToken(
            self.section.issuer, self.section.client_id, pending.nonce, self.section.tenant
        )
        now = self._clock()
        token = IdToken.accept(claims, expected, now, roles_claim=self.section.roles_claim)
        if pending.session:
            if self._step_up is None:
                raise ResponseError("the settings name no stronger sign-in")
            self._step_up.check(claims, now - pending.begun)
        return token

    def role_of(self, token: IdToken) -> PersonRole | None:
        """Return the highest role that the provider's roles give a person; None without one."""
        given = {self.section.roles[each] for each in token.roles if each in self.section.roles}
        ranked: tuple[PersonRole, ...] = get_args(PersonRole)
        return next((role for role in reversed(ranked) if role in given), None)

    def sign_out_address(self) -> str | None:
        """Return the address at which the browser signs out at the provider too, if it has one."""
        known = self._provider.known
        if known is None or not known.end_session:
            return None
        query = {
            "client_id": self.section.client_id,
            "post_logout_redirect_uri": f"{self._origin}/",
        }
        return _with_query(known.end_session, query)

    async def close(self) -> None:
        """Close all connections."""
        await self._provider.close()

    @contextmanager
    def _turn(self, network: str) -> Iterator[None]:
        """Count an exchange while it lasts.

        Raises:
            BusyProviderError: Too many exchanges are in progress.
        """
        if (
            self._exchanging.total() >= MOST_AT_ONCE
            or self._exchanging[network] >= MOST_FROM_A_NETWORK
        ):
            raise BusyProviderError("too many people sign in at the same time")
        self._exchanging[network] += 1
        try:
            yield
        finally:
            self._exchanging[network] -= 1
            if not self._exchanging[network]:
                del self._exchanging[network]


def _with_query(address: str, query: Mapping[str, str]) -> str:
    return f"{address}{'&' if '?' in address else '?'}{urlencode(query)}"
