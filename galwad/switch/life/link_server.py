"""The switch's end of `switch.sock`: sends messages to the desk and the finaliser without waiting.

A desk that connects receives a snapshot of the live calls, the stored alarms, and the ended calls
that may be missing in its ledger (`call/appended_files.py`). A finaliser that connects receives its
own `Hello` back. The finaliser then searches the spool folders for spools that are already closed.
From then on, the switch notifies the finaliser of each closed spool. A `galwad` command receives
the latest `Figures`.

The desk's commands, such as to pause a recording, are passed to `DeskCommands`. The reply to a
command is sent on the link on which the command arrived.
"""

from __future__ import annotations

import asyncio
from asyncio import Server
from collections.abc import Coroutine, Mapping
from pathlib import Path

import structlog

from galwad import link
from galwad.messages import (
    Alarm,
    AnyMessage,
    CallChanged,
    CallEnded,
    CallsSnapshot,
    CallStatus,
    ClaimCall,
    DialNumber,
    Figures,
    Hello,
    LedgerHas,
    Party,
    Pause,
    PhoneAct,
    PhonesRegistered,
    RegisteredPhone,
    Resume,
    SetAway,
    SetPhones,
    SpoolClosed,
    own_version,
)
from galwad.switch.call.appended_files import LedgerOutbox
from galwad.switch.call.commands import DeskCommands

log = structlog.get_logger()


class LinkServer:
    """Holds the links to all connected desks and finalisers, and sends messages on these links."""

    def __init__(self, commands: DeskCommands, outbox: Path) -> None:
        """Start without links; `outbox` has the ended calls that no desk has confirmed."""
        self._commands = commands
        self._tasks: set[asyncio.Task[None]] = set()
        self._desks: set[link.Link] = set()
        self._finalisers: set[link.Link] = set()
        self._alarms: list[Alarm] = []
        self._figures: Figures | None = None
        self._devices: Mapping[Party, int] = {}
        self._follow_devices: set[link.Link] = set()
        """The links to desks of the switch's version, which know `PhonesRegistered`."""
        self._version = own_version()
        self.outbox = LedgerOutbox(outbox, lambda: self.alarm("ledger.full"))

    async def listen(self, path: Path) -> Server:
        """Open the socket at `path`. The returned server must be closed at the end."""
        return await link.serve(path, self._on_message, self._forget)

    def call_changed(self, call: CallStatus) -> None:
        """Send the whole state of a call to every desk."""
        self._send(self._desks, CallChanged(call=call))

    def call_ended(self, ended: CallEnded) -> None:
        """Notify every connected desk that a call has ended.

        If the call must be in the ledger, `ended` is also stored until a desk confirms that the
        ledger contains the call.
        """
        if ended.for_ledger:
            self.outbox.keep(ended)
        self._send(self._desks, ended)

    def spool_closed(self, call_id: str) -> None:
        """Notify every finaliser that the switch will write nothing more to a call's spools."""
        self._send(self._finalisers, SpoolClosed(call_id=call_id))

    def figures(self, figures: Figures) -> None:
        """Send the figures to every desk, and store them for `galwad` commands that need them."""
        self._figures = figures
        self._send(self._desks, figures)

    def devices(self, devices: Mapping[Party, int]) -> None:
        """Report the changed counts of devices to desks of our version.

        `devices` has the phones with at least one device.
        """
        before, self._devices = self._devices, devices
        changed = tuple(
            RegisteredPhone(party, devices.get(party, 0))
            for party in {**before, **devices}
            if before.get(party, 0) != devices.get(party, 0)
        )
        if changed:
            self._send(self._follow_devices, PhonesRegistered(changed))

    def alarm(self, kind: str, call_id: str | None = None, detail: str = "") -> None:
        """Log an alarm and send it to every desk, or store it for the next desk that connects.

        At most `_KEPT_ALARMS` alarms are stored. `call_id` is None if the alarm is not about one
        call. `detail` explains it to a person.
        """
        log.error("alarm", kind=kind, call_id=call_id, detail=detail)
        message = Alarm(kind=kind, call_id=call_id, detail=detail)
        if self._desks:
            self._send(self._desks, message)
        elif len(self._alarms) < _KEPT_ALARMS:
            self._alarms.append(message)

    async def _on_message(self, peer: link.Link, message: AnyMessage) -> None:
        match message:
            case Hello(role="desk"):
                self._greet_desk(peer, message.version)
            case Hello(role="finaliser"):
                self._finalisers.add(peer)
                peer.send(message)
            case Hello(role="command"):
                if self._figures is not None:
                    peer.send(self._figures)
            case Pause():
                peer.send(await self._commands.pause(message))
            case Resume():
                peer.send(await self._commands.resume(message))
            case PhoneAct() | DialNumber():
                self._spawn(self._control_phone(peer, message))
            case LedgerHas():
                self.outbox.remove(message.call_ids)
            case ClaimCall() | SetPhones() | SetAway():
                self._carry_out(message)
            case _:
                log.warning("hub.unexpected", message=type(message).__name__)

    async def _control_phone(self, peer: link.Link, command: PhoneAct | DialNumber) -> None:
        """Carry out an act, and reply. This runs as a task, so no pause waits for a slow phone."""
        if isinstance(command, PhoneAct):
            peer.send(await self._commands.act(command))
        else:
            peer.send(self._commands.dial(command))

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _carry_out(self, command: ClaimCall | SetPhones | SetAway) -> None:
        match command:
            case ClaimCall():
                self._commands.claim(command)
            case SetPhones():
                self._commands.set_phones(command.accounts)
            case SetAway():
                self._commands.set_away(command.users)

    def _greet_desk(self, peer: link.Link, version: str) -> None:
        self._desks.add(peer)
        calls = tuple(self._commands.live_calls())
        peer.send(CallsSnapshot(calls, self._version))
        if version == self._version:
            self._follow_devices.add(peer)
            phones = tuple(RegisteredPhone(*each) for each in self._devices.items())
            peer.send(PhonesRegistered(phones, complete=True))
        for message in self._alarms:
            peer.send(message)
        self._alarms.clear()
        self._spawn(self._send_ended(peer))

    async def _send_ended(self, peer: link.Link) -> None:
        """Send a new desk the ended calls that no desk has confirmed, a few at a time."""
        waiting = self.outbox.waiting
        for start in range(0, len(waiting), _AT_ONCE):
            for ended in waiting[start : start + _AT_ONCE]:
                peer.send(ended)
            await asyncio.sleep(_BREATH_S)

    def _forget(self, peer: link.Link) -> None:
        if peer in self._desks:
            self._desks.discard(peer)
            self._follow_devices.discard(peer)
            if not self._desks:
                self._commands.desk_lost()
        self._finalisers.discard(peer)

    @staticmethod
    def _send(peers: set[link.Link], message: AnyMessage) -> None:
        for peer in peers:
            peer.send(message)


_KEPT_ALARMS = 1000
_AT_ONCE = 50
_BREATH_S = 0.01
