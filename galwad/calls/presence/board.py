"""The `PresenceBoard`: it owns the presence of all users, and reports changes together.

So 200 advisors who come back from a break at the same time cause a few events, not 200.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import structlog

from galwad.calls.bodies import Presence, PresenceNews, PresenceState
from galwad.calls.live_calls import DeskCall
from galwad.calls.presence.states import PresenceFacts
from galwad.calls.presence.store import Break, Breaks
from galwad.messages import Party, PhonesRegistered
from galwad.people.store import Users
from galwad.people.user import User
from galwad.settings.switch import Route

INTERVAL_S = 0.5
log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class PresenceListeners:
    """The functions that the board calls after a change."""

    changed: Callable[[PresenceNews], None]
    away: Callable[[tuple[str, ...]], None]
    """Receives the sorted names of all users who are away, when these names have changed."""
    counted: Callable[[Mapping[PresenceState, int]], None]


class PresenceBoard:
    """Knows the presence of each user who can take calls. `PresenceFacts` explains `at_pbx`."""

    def __init__(
        self,
        users: Users,
        breaks: Breaks,
        calls: Callable[[], Iterable[DeskCall]],
        listeners: PresenceListeners,
        clock: Callable[[], float] = time.time,
        *,
        at_pbx: Callable[[User], bool] = lambda _user: False,
    ) -> None:
        self._users = users
        self._store = breaks
        self._calls = calls
        self._listeners = listeners
        self._clock = clock
        self._at_pbx = at_pbx
        self._listed: dict[str, User] = {}
        self._breaks: dict[str, Break] = {}
        self._wrapped_up: dict[str, float] = {}
        self._pages: Counter[str] = Counter()
        self._devices: dict[Party, int] = {}
        self._devices_known = False
        self._presences: dict[str, Presence] = {}
        self._away: tuple[str, ...] = ()
        self._one_at_a_time = asyncio.Lock()

    async def start(self) -> None:
        """Read the users and breaks from the database, and compute the presence of all users."""
        await self.read_users()
        self.refresh()

    async def read_users(self) -> None:
        """Read all users and breaks again."""
        async with self._one_at_a_time:
            self._breaks = {each.user: each for each in await self._store.all()}
            users = await self._users.all()
            self._listed = {each.name: each for each in users if takes_calls(each)}

    async def run(self) -> None:
        """Compute the presence of all users every `INTERVAL_S` seconds, until cancelled."""
        while True:
            try:
                self.refresh()
            except Exception:  # The board must go on after an error in a listener.
                log.exception("presence.failed")
            await asyncio.sleep(INTERVAL_S)

    @property
    def away(self) -> tuple[str, ...]:
        """The sorted names of the users whom a route with `skip_away` rings last."""
        return self._away

    def all(self) -> list[Presence]:
        """Return the presence of all users, sorted by name."""
        return [self._presences[name] for name in sorted(self._presences)]

    def seen_by(self, viewer: User) -> list[Presence]:
        """Return the user's own presence. For a supervisor, return the presence of all users."""
        return [each for each in self.all() if viewer.supervises or each.user == viewer.name]

    def set_connected(self, connected: bool) -> None:  # noqa: FBT001 - it is the only value
        """Store whether the switch is connected; if not, the registered phones are not known."""
        if not connected:
            self._devices_known = False

    def registered(self, message: PhonesRegistered) -> None:
        """Store the switch's report about registered devices."""
        if message.complete:
            self._devices, self._devices_known = {}, True
        for each in message.phones:
            self._devices[each.party] = each.devices
            if not each.devices:
                del self._devices[each.party]

    @contextmanager
    def page(self, user: User) -> Iterator[None]:
        """Count a page of the user as open until the context ends."""
        if takes_calls(user):
            self._listed.setdefault(user.name, user)
        self._pages[user.name] += 1
        try:
            yield
        finally:
            self._pages[user.name] -= 1
            if not self._pages[user.name]:
                del self._pages[user.name]

    async def begin_break(self, user: User, reason: str, set_by: str = "") -> Presence:
        """Begin a break, or give the present break a new reason; return the user's presence."""
        async with self._one_at_a_time:
            present = self._breaks.get(user.name)
            since = self._clock() if present is None else present.since
            taken = Break(user.name, reason, since, set_by)
            await self._store.begin(taken)
            self._breaks[user.name] = taken
        return self._presence_now(user)

    async def make_available(self, user: User) -> Presence:
        """End a user's break and wrap-up, and return the user's presence."""
        async with self._one_at_a_time:
            await self._store.end(user.name)
            self._breaks.pop(user.name, None)
            self._wrapped_up[user.name] = self._clock()
        return self._presence_now(user)

    def refresh(self) -> None:
        """Compute the presence of all users, and report what has changed."""
        facts = self._facts()
        before = self._presences
        self._presences = {
            name: facts.presence_of(
                user, self._breaks.get(name), before.get(name), page=name in self._pages
            )
            for name, user in self._listed.items()
        }
        changed = tuple(each for name, each in self._presences.items() if before.get(name) != each)
        gone = tuple(before.keys() - self._presences.keys())
        if changed or gone:
            self._listeners.changed(PresenceNews(changed, gone))
            self._listeners.counted(Counter(each.state for each in self._presences.values()))
        away = tuple(sorted(name for name, each in self._presences.items() if each.away))
        if away != self._away:
            self._away = away
            self._listeners.away(away)

    def _presence_now(self, user: User) -> Presence:
        self._listed.setdefault(user.name, user)
        page = user.name in self._pages
        before, taken = self._presences.get(user.name), self._breaks.get(user.name)
        return self._facts().presence_of(user, taken, before, page=page)

    def _facts(self) -> PresenceFacts:
        return PresenceFacts(
            self._calls(),
            self._devices,
            self._wrapped_up,
            at_pbx=self._at_pbx,
            devices_known=self._devices_known,
            now=self._clock(),
        )


def may_be_at_pbx(user: User, routes: Sequence[Route]) -> bool:
    """Return whether a PBX may ring this user's phone.

    It may if a route names the user. It may also ring a user's extension that no route rings, if
    there is a route to a PBX.
    """
    if any(user.name in route.advisors for route in routes):
        return True
    rung = any(user.extension in (route.ring or ()) for route in routes)
    return user.extension is not None and not rung and any(route.target for route in routes)


def takes_calls(user: User) -> bool:
    """Return whether this is an enabled person who is an advisor or has an extension."""
    person = user.role != "machine" and not user.disabled
    return person and (user.role == "advisor" or user.extension is not None)
