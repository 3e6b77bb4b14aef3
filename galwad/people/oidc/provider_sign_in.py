"""The sign-in with the provider's account, from the first redirect to the identity of the person.

This module checks that the browser has begun the sign-in, that the response is the provider's (RFC
9207), and that the code belongs to the sign-in. `galwad.people.identities` finds the user of the
identity.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter, OrderedDict, deque
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Final, get_args
from urllib.parse import urlencode

from galwad.people.oidc.errors import BusyProviderError, DeniedError, ProviderError, ResponseError
from galwad.people.oidc.id_token import ExpectedToken, IdToken, StepUp
from galwad.people.oidc.pending import PendingSignIn, PendingSignIns
from galwad.people.oidc.provider import Provider
from galwad.settings.desk import PersonRole, SignInSection
from net.authentication import named_error

CALLBACK: Final = "/api/v1/sign-in/callback"
"""The path to which the provider sends the browser back."""
MOST_AT_ONCE: Final = 64
MOST_FROM_A_NETWORK: Final = 16
"""The most codes that are exchanged at the same time, in all and for each network.

The limit for a network includes the exchanges that wait.
"""


class ProviderSignIn:
    """The sign-in at one provider.

    `origin` is the origin of the page, to which the provider sends people back. `clock` returns the
    Unix time in seconds. `on_flood` is called with the network of a new sign-in if so many sign-ins
    come that their states cannot all be kept as used.
    """

    def __init__(
        self,
        section: SignInSection,
        origin: str,
        clock: Callable[[], float] = time.time,
        on_flood: Callable[[str], None] = lambda _network: None,
    ) -> None:
        self.section = section
        self._origin = origin
        self._clock = clock
        self.provider = Provider(section)
        self._pending = PendingSignIns(clock, on_flood)
        self.exchanges = _Exchanges(section.timeout)
        self._step_up = (
            None if section.step_up is None else StepUp(section.step_up, section.step_up_claim)
        )

    async def begin(
        self, cookie: str, language: str = "en", *, session: str = "", place: str = ""
    ) -> tuple[str, str]:
        """Begin a sign-in; return the provider's address, and the new value of the cookie.

        If `session` is the key of a session, its person must prove the stronger sign-in that the
        settings name. `place` is the fragment of the page's address where the step-up begins.
        Raises `ProviderError`.
        """
        metadata = await self.provider.metadata()
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
        """Return the sign-in to which the provider's response belongs.

        `response` has the parameters of the address to which the browser was sent back. Raises
        `ResponseError` if this browser has begun no such sign-in, or the sign-in is used or over.
        """
        return self._pending.find(cookie, response.get("state", ""))

    async def complete(
        self, pending: PendingSignIn, response: Mapping[str, str], network: str
    ) -> IdToken:
        """Complete a sign-in that `take` has returned, and return the token of the person.

        The exchange of the response's code uses the sign-in up. A response without a code does not.

        Raises:
            ResponseError: The response is of another provider, it has no code, its code is not
                accepted, the sign-in is over or was used meanwhile, or a step-up was asked for and
                the settings name none.
            DeniedError: The provider has not signed the person in.
            StepUpError: A step-up was asked for, and the ID token does not prove it.
            TokenError: The ID token is not accepted.
            ProviderError: The provider cannot be reached, or its answer cannot be used.
            BusyProviderError: Too many people sign in at the same time.
        """
        known = self.provider.known
        issuer = response.get("iss")
        if known is None or (issuer is None and known.names_issuer):
            raise ResponseError("the response does not name the provider")
        if issuer not in {None, self.section.issuer}:
            raise ResponseError("the response is of another provider")
        if "error" in response:
            code = named_error(response["error"]) or "unknown"
            if code in {"server_error", "temporarily_unavailable", "invalid_request"}:
                raise ProviderError(f"the provider reports an error: {code}")
            raise DeniedError(f"the provider has not signed the person in: {code}")
        if not response.get("code"):
            raise ResponseError("the response has no code")
        async with self.exchanges.turn(network):
            self._pending.use(pending, network)
            claims = await self.provider.redeem(response["code"], pending, self._origin + CALLBACK)
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
        """Return the highest role that the token's roles give a person; None if they give none."""
        given = {self.section.roles[each] for each in token.roles if each in self.section.roles}
        ranked: tuple[PersonRole, ...] = get_args(PersonRole)
        return next((role for role in reversed(ranked) if role in given), None)

    def sign_out_address(self) -> str | None:
        """Return the address at which the browser signs out at the provider too.

        Return None if the provider offers no sign-out, or if its metadata was not read yet.
        """
        known = self.provider.known
        if known is None or not known.end_session:
            return None
        query = {
            "client_id": self.section.client_id,
            "post_logout_redirect_uri": f"{self._origin}/",
        }
        return _with_query(known.end_session, query)

    async def close(self) -> None:
        """Close all connections."""
        await self.provider.close()


class _Exchanges:
    """Lets exchanges begin: at most `MOST_AT_ONCE` at a time, and the networks take turns.

    An exchange waits for at most `patience` seconds.
    """

    def __init__(self, patience: float) -> None:
        self._patience = patience
        self._running = 0
        self._of_network: Counter[str] = Counter()
        """The exchanges that run or wait, by network."""
        self._waiting: OrderedDict[str, deque[asyncio.Future[None]]] = OrderedDict()
        """The exchanges that wait, by network. The first network has the next turn."""

    @asynccontextmanager
    async def turn(self, network: str) -> AsyncIterator[None]:
        """Wait for a turn. The block has the turn until its end. Raises `BusyProviderError`."""
        if self._of_network[network] >= MOST_FROM_A_NETWORK:
            raise BusyProviderError("too many people sign in at the same time")
        self._of_network[network] += 1
        try:
            if self._running >= MOST_AT_ONCE:
                await self._wait(network)
            else:
                self._running += 1
            try:
                yield
            finally:
                self._pass_on()
        finally:
            self._of_network[network] -= 1
            if not self._of_network[network]:
                del self._of_network[network]

    async def _wait(self, network: str) -> None:
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(network, deque()).append(turn)
        try:
            async with asyncio.timeout(self._patience):
                await turn
        except BaseException as error:
            if turn.done() and not turn.cancelled():
                self._pass_on()  # it had just got the turn
            if isinstance(error, TimeoutError):
                raise BusyProviderError("too many people sign in at the same time") from None
            raise

    def _pass_on(self) -> None:
        """Give the turn of an exchange that has ended to the next network."""
        while self._waiting:
            network, turns = next(iter(self._waiting.items()))
            turn = turns.popleft()
            if turns:
                self._waiting.move_to_end(network)
            else:
                del self._waiting[network]
            if not turn.done():
                turn.set_result(None)
                return
        self._running -= 1


def _with_query(address: str, query: Mapping[str, str]) -> str:
    return f"{address}{'&' if '?' in address else '?'}{urlencode(query)}"
