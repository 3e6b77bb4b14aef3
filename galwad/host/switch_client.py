"""The desk's end of the link to the switch, over the Unix socket `switch.sock`.

A request waits at most two seconds for the reply with its reference number, and fails at once if
the link is lost, because the page must never show a pause that did not happen.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

import msgspec
import structlog

from galwad.host.errors import SwitchDownError
from galwad.link import Connector, Link
from galwad.messages import (
    Alarm,
    AnyMessage,
    CallChanged,
    CallEnded,
    CallsSnapshot,
    ClaimCall,
    DialNumber,
    Figures,
    Hello,
    LedgerHas,
    Party,
    Pause,
    PauseReply,
    PhoneAct,
    PhoneCredentials,
    PhoneReply,
    PhonesRegistered,
    Resume,
    SetAway,
    SetPhones,
    own_version,
)

REPLY_S = 2.0
log = structlog.get_logger()

PauseTrigger: TypeAlias = Literal["page", "api"]
FromSwitch = CallsSnapshot | CallChanged | CallEnded | Alarm | Figures | PhonesRegistered


@dataclass(frozen=True, slots=True)
class PauseTarget:
    """The calls to pause or resume: one attribute is set, and the two others are ""."""

    call_id: str = ""
    extension: str = ""
    user: str = ""


@dataclass(frozen=True, slots=True)
class PauseOrder:
    """An order to the switch to pause calls for a pause holder, or to end the holder's pause."""

    target: PauseTarget
    holder: str
    actor: str
    """The user or system that requests this, as the audit and the manifest name it."""
    trigger: PauseTrigger
    arrived_mono: float
    """When the request arrived at the desk, in monotonic seconds. A pause counts from this time."""


async def _no_phones() -> tuple[PhoneCredentials, ...]:
    return ()


class SwitchClient:
    """Maintains the desk's link to the switch.

    `on_message` receives the switch's messages in their sequence; `on_connection` receives True
    when the link opens and False when it is lost. The attributes `phones` and `away` return what is
    sent when it opens: the accounts of all phones, and the names of the users who are away.
    """

    def __init__(
        self,
        path: Path,
        on_message: Callable[[FromSwitch], None],
        on_connection: Callable[[bool], None],
        phones: Callable[[], Awaitable[tuple[PhoneCredentials, ...]]] = _no_phones,
        away: Callable[[], tuple[str, ...]] = tuple,
    ) -> None:
        self._connector = Connector(path, self._connected, self._received, self._lost)
        self._on_message = on_message
        self._on_connection = on_connection
        self.phones = phones
        self.away = away
        self._version = own_version()
        self._same_version = False
        """True if the connected switch has the version of this desk.

        During an upgrade, another switch gets nothing that the first release did not know.
        """
        self._refs = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[PauseReply]] = {}
        self._acts: dict[int, asyncio.Future[PhoneReply]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def connected(self) -> bool:
        """True while the link to the switch is open."""
        return self._connector.connected

    async def run(self) -> None:
        """Maintain the link until cancelled, and connect again if it is lost."""
        try:
            await self._connector.run()
        finally:
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def set_phones(self) -> None:
        """Send the switch the accounts of all phones; this also happens when the link opens."""
        self._connector.send(SetPhones(await self.phones()))

    def set_away(self) -> None:
        """Send the names of users who are away; a switch of another version gets nothing."""
        if self._same_version:
            self._connector.send(SetAway(self.away()))

    def claim(self, call_id: str, advisor: Party) -> None:
        """Report who has a call that a PBX has answered, because the switch cannot know it."""
        self._connector.send(ClaimCall(call_id, advisor))

    def acknowledge_ends(self, call_ids: Collection[str]) -> None:
        """Report that these ends are in the ledger; the switch repeats them until it knows this."""
        self._connector.send(LedgerHas(tuple(call_ids)))

    async def pause(self, order: PauseOrder) -> PauseReply:
        """Ask the switch to pause; return the gate state in its reply. Raises `SwitchDownError`."""
        message = Pause(*self._fields(order), order.arrived_mono)
        return await self._request("pause", message)

    async def resume(self, order: PauseOrder) -> PauseReply:
        """Ask the switch to end the holder's pause; return the reply, with the gate's real state.

        The gate stays shut if there is another pause holder.

        Raises:
            SwitchDownError: There is no link, or no reply came within two seconds.
        """
        return await self._request("resume", Resume(*self._fields(order)))

    @property
    def dials(self) -> bool:
        """True if the switch can call a number for a phone; assumed while there is no link."""
        return self._same_version or not self.connected

    async def ask(self, request: PhoneAct | DialNumber) -> str:
        """Ask for an act or a call; return why it was refused, or "" if the act has begun.

        `request` gets its `ref` here.

        Raises:
            SwitchDownError: There is no link, the switch has another version, or no reply came
                within two seconds.
        """
        if self.connected and not self._same_version:
            raise SwitchDownError("the switch has another version: restart it")
        ref = next(self._refs)
        message = msgspec.structs.replace(request, ref=ref)
        reply: asyncio.Future[PhoneReply] = asyncio.get_running_loop().create_future()
        self._acts[ref] = reply
        try:
            if not self._connector.send(message):
                raise SwitchDownError
            async with asyncio.timeout(REPLY_S):
                return (await reply).refused
        except TimeoutError:
            log.warning("switch.no_reply", action=type(message).__name__)
            raise SwitchDownError("the switch did not answer in time") from None
        finally:
            self._acts.pop(ref, None)

    def _fields(self, order: PauseOrder) -> tuple[int, str, PauseTrigger, str, str, str, str]:
        target = order.target
        calls = target.call_id, target.extension, target.user
        return next(self._refs), order.holder, order.trigger, order.actor, *calls

    async def _request(self, action: str, message: Pause | Resume) -> PauseReply:
        reply: asyncio.Future[PauseReply] = asyncio.get_running_loop().create_future()
        self._waiting[message.ref] = reply
        try:
            if not self._connector.send(message):
                raise SwitchDownError
            async with asyncio.timeout(REPLY_S):
                return await reply
        except TimeoutError:
            log.warning("switch.no_reply", action=action)
            raise SwitchDownError("the switch did not answer in time") from None
        finally:
            self._waiting.pop(message.ref, None)

    def _connected(self, link: Link) -> None:
        link.send(Hello("desk", self._version))
        task = asyncio.create_task(self.set_phones())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        self._on_connection(True)

    def _lost(self) -> None:
        self._same_version = False
        waiting: list[asyncio.Future[Any]] = [*self._waiting.values(), *self._acts.values()]
        for reply in waiting:
            if not reply.done():
                reply.set_exception(SwitchDownError("the connection to the switch was lost"))
        self._on_connection(False)

    async def _received(self, _link: Link, message: AnyMessage) -> None:
        match message:
            case PauseReply():
                reply = self._waiting.get(message.ref)
                if reply is not None and not reply.done():
                    reply.set_result(message)
            case PhoneReply():
                answer = self._acts.get(message.ref)
                if answer is not None and not answer.done():
                    answer.set_result(message)
            case CallsSnapshot():
                self._same_version = message.version == self._version
                if not self._same_version:
                    log.warning(
                        "switch.other_version",
                        version=message.version,
                        hint="systemctl restart galwad-switch",
                    )
                self.set_away()
                self._on_message(message)
            case CallChanged() | CallEnded() | Alarm() | Figures() | PhonesRegistered():
                self._on_message(message)
            case _:
                log.warning("switch.unexpected", message=type(message).__name__)
