"""`PeopleSubject`: the users, their sessions and tokens, and the ways to sign in."""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Final, Protocol

import structlog
from argon2 import PasswordHasher
from fastapi import Depends
from prometheus_client import CollectorRegistry, Counter, Gauge

from galwad.host.host import HasHost, Host, desk_of
from galwad.host.limits import Window
from galwad.messages import Alarm
from galwad.people.oidc.provider_accounts import ProviderAccounts
from galwad.people.second_factor import SecondFactors, SecretBox
from galwad.people.sessions import Sessions
from galwad.people.sign_in.approvals import CODES, Approvals
from galwad.people.sign_in.limits import SignInLimits
from galwad.people.store import Users
from galwad.people.tokens import TokenWatch
from net.addresses import network_of
from recording.audit.log import AuditFilter

_KNOWN_SIGN_INS: Final = 2000
"""The most sign-ins that the desk reads from the audit at its start."""
_KNOWN_SIGN_INS_S: Final = 30 * 86_400.0
_FLOOD_ALARM_S: Final = 3600.0
"""The least seconds between two alarms about a flood of sign-ins at the provider."""
log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class PeopleChanged:
    """Users, their phones or their sessions have changed."""


class PeopleMetrics:
    """The metrics of sign-ins and tokens."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.sign_ins = Counter(
            "galwad_desk_sign_ins", "Sign-ins by outcome", ["outcome"], registry=registry
        )
        self.token_expiry = Gauge(
            "galwad_desk_next_token_expiry_timestamp_seconds",
            "When the next token of a machine expires, in Unix seconds; 0 if none does",
            registry=registry,
        )


class PeopleSubject:
    """The users of one desk. `hasher` hashes their passwords; None for argon2's defaults."""

    _flood_alarmed = float("-inf")
    """The monotonic time of the newest alarm about a flood of sign-ins at the provider."""

    def __init__(self, host: Host, hasher: PasswordHasher | None = None) -> None:
        settings, engine = host.settings, host.engine
        self._host = host
        self.metrics = PeopleMetrics(host.metrics.registry)
        self.users = Users(engine, hasher)
        self.sessions = Sessions(
            engine,
            settings.desk.session_idle,
            settings.desk.session_absolute,
            personal=settings.desk.personal_tokens,
        )
        self.provider = ProviderAccounts.opened(
            settings.sign_in, settings.desk.origin, engine, self._sign_ins_flooded
        )
        self.sign_in_limits = SignInLimits.with_key_in(settings.device_key)
        self.codes = Window[str](CODES)
        self.command_lines = Approvals()
        self.panels = Approvals()
        host.switch.phones = self.users.accounts
        host.on_start(self._remember_sign_ins)
        host.loop(TokenWatch(self.sessions.tokens, self.metrics.token_expiry.set).run)
        host.after_stop(self._close)

    @cached_property
    def second_factors(self) -> SecondFactors:
        """The second factors of the users who sign in with a password."""
        return SecondFactors(self._host.engine, SecretBox(self._host.settings.second_factor_key))

    async def _remember_sign_ins(self) -> None:
        """Learn from the audit which accounts have signed in from which networks.

        So after a restart during an attack, sign-ins from these networks do not wait as strangers'
        sign-ins do.
        """
        now = time.time()
        sought = AuditFilter(kind="sign-in.accepted", since=now - _KNOWN_SIGN_INS_S)
        for entry in reversed(await self._host.audit.search(sought, limit=_KNOWN_SIGN_INS)):
            values = {name: value for name, (_, value) in entry.values.items()}
            address = values.get("address", "")
            if address and values.get("user"):
                self.sign_in_limits.throttle.know(values["user"], address)
                age = max(now - entry.at_us / 1e6, 0.0)
                self._host.places.know(network_of(address), time.monotonic() - age)

    async def _close(self) -> None:
        if self.provider is not None:
            await self.provider.flow.close()
        await self.sessions.stop()

    async def changed(self) -> None:
        """Let a change of users take effect on sessions, event streams, the switch and the page."""
        self.sessions.recheck()
        self._host.streams.wake()
        await self._host.switch.set_phones()
        await self._host.publish_and_wait(PeopleChanged())

    def wrong_password(self, account: str, network: str) -> None:
        """Log a wrong password, and raise an alarm if there are many."""
        log.warning("sign_in.wrong_password", network=network)
        for count in self.sign_in_limits.passwords.wrong(account, network):
            detail = {"account": "for one account", "network": f"from {network}"}.get(count, "")
            self._host.alarm(Alarm("sign_in.passwords_guessed", None, detail))

    def _sign_ins_flooded(self, network: str) -> None:
        now = time.monotonic()
        if now - self._flood_alarmed >= _FLOOD_ALARM_S:
            self._flood_alarmed = now
            log.warning("sign_in.flooded", network=network)
            self._host.alarm(Alarm("sign_in.flooded", None, network))


class PeopleDesk(HasHost, Protocol):
    """The parts of the desk that endpoints about people use."""

    people: PeopleSubject


TheDesk = Annotated[PeopleDesk, Depends(desk_of)]
