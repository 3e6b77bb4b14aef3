"""The desk's end of the link to the switch, over the Unix socket `switch.sock`.

A request fails if no reply comes within two seconds. If the link is lost, it fails at once: the
page must never show a pause that did not happen.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Collection
from pathlib import Path
from typing import Any

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

FromSwitch = CallsSnapshot | CallChanged | CallEnded | Alarm | Figures | PhonesRegistered


async def _no_phones() -> tuple[PhoneCredentials, ...]:
    return ()


class SwitchClient:
    """Maintains the desk's link to the switch.

    `on_message` receives the switch's messages in their sequence, except replies. `on_connection`
    receives True when the link opens and False when it is lost. `phones` returns the accounts of
    all phones, which are sent when the link opens. `away` returns the names of the users who are
    away, which are sent after the switch's snapshot.
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

        During an upgrade, a switch of another version gets only messages of the first release.
        """
        self._refs = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[Any]] = {}
        """The futures of the replies that have not arrived yet, by the `ref` of the request."""
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
        """Send the switch the accounts of all phones. `run` also does this when the link opens."""
        self._connector.send(SetPhones(await self.phones()))

    def set_away(self) -> None:
        """Send the names of the users who are away, if the switch has the version of this desk."""
        if self._same_version:
            self._connector.send(SetAway(self.away()))

    def claim(self, call_id: str, advisor: Party) -> None:
        """Report to the switch which advisor has a call that a PBX has answered."""
        self._connector.send(ClaimCall(call_id, advisor))

    def acknowledge_ends(self, call_ids: Collection[str]) -> None:
        """Report that the ledger has these calls, so that the switch stops repeating their ends."""
        self._connector.send(LedgerHas(tuple(call_ids)))

    async def pause(self, request: Pause) -> PauseReply:
        """Ask for a pause; return the reply with the gate's state. Raises `SwitchDownError`."""
        reply: PauseReply = await self._reply_to(request, "pause")
        return reply

    async def resume(self, request: Resume) -> PauseReply:
        """Ask the switch to end the holder's pause; return the reply, with the gate's real state.

        The gate stays shut if there is another pause holder. Raises `SwitchDownError`.
        """
        reply: PauseReply = await self._reply_to(request, "resume")
        return reply

    @property
    def dials(self) -> bool:
        """True if the switch can call a number for a phone. Also true while there is no link."""
        return self._same_version or not self.connected

    async def ask(self, request: PhoneAct | DialNumber) -> str:
        """Ask for an act or a call. Return the reason of a refusal, or "" if the act has begun.

        `request` is sent with a new `ref`. Raises `SwitchDownError`.
        """
        if self.connected and not self._same_version:
            raise SwitchDownError(
                "the switch has another version than the desk: restart the switch"
            )
        reply: PhoneReply = await self._reply_to(request, type(request).__name__)
        return reply.refused

    async def _reply_to(self, request: Pause | Resume | PhoneAct | DialNumber, action: str) -> Any:
        ref = next(self._refs)
        reply = self._waiting[ref] = asyncio.get_running_loop().create_future()
        try:
            if not self._connector.send(msgspec.structs.replace(request, ref=ref)):
                raise SwitchDownError
            async with asyncio.timeout(REPLY_S):
                return await reply
        except TimeoutError:
            log.warning("switch.no_reply", action=action)
            raise SwitchDownError("the switch did not answer in time") from None
        finally:
            self._waiting.pop(ref, None)

    def _connected(self, link: Link) -> None:
        link.send(Hello("desk", self._version))
        task = asyncio.create_task(self.set_phones())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        self._on_connection(True)

    def _lost(self) -> None:
        self._same_version = False
        for reply in self._waiting.values():
            if not reply.done():
                reply.set_exception(SwitchDownError("the connection to the switch was lost"))
        self._on_connection(False)

    async def _received(self, _link: Link, message: AnyMessage) -> None:
        match message:
            case PauseReply() | PhoneReply():
                reply = self._waiting.get(message.ref)
                if reply is not None and not reply.done():
                    reply.set_result(message)
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
