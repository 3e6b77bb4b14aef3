"""The switch process: its sockets, its calls and its orderly end.

The switch starts and answers calls even while the desk or the finaliser does not run. It handles
these signals:

- SIGTERM or SIGINT drains the switch: new calls, except emergency calls, are refused with 503, and
  calls in progress can finish. A second such signal hangs up the calls in progress.
- SIGUSR1 ends the process immediately, without ending the calls. The next switch process continues
  the calls.
- SIGHUP loads the certificate for SIP over TLS from its file again.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import signal
from collections.abc import Sequence

import structlog
import uvloop

from galwad import supervise
from galwad.messages import Figures
from galwad.process_start import log_cannot_start
from galwad.settings import Settings
from galwad.switch.call.appended_files import LastingDialogs
from galwad.switch.call.checkpoints import CheckpointStore
from galwad.switch.call.clocks import read_clocks
from galwad.switch.call.commands import DeskCommands, Dialler
from galwad.switch.call.context import CallContext
from galwad.switch.call.dispatcher import EventDispatcher
from galwad.switch.call.spools import SpoolFactory
from galwad.switch.call.switch_call import SwitchCall, call_of_leg
from galwad.switch.edge.admission import Admission, AdmissionControl, DialogSources
from galwad.switch.edge.guard import FloodGuard
from galwad.switch.edge.guessing import GuessLimits
from galwad.switch.edge.listening import Listening, limits_of, supported_by
from galwad.switch.edge.overload import CpuWait, OverloadControl
from galwad.switch.edge.peers import NamingMonitor, PeerMonitor, TrunkAccounts
from galwad.switch.edge.phones import Phones
from galwad.switch.edge.routing import AwayUsers, Router
from galwad.switch.life.collector import Collector
from galwad.switch.life.link_server import LinkServer
from galwad.switch.life.revival import revive
from net.addresses import Network, host_of_family
from telephony.aio.ports import PortPool
from telephony.aio.relay import Relay, SourceRule
from telephony.aio.transport import SipTransport
from telephony.aio.udp import reachable_host
from telephony.sip.endpoint import Endpoint
from telephony.sip.events import Address, SipEvent

BYE_WAIT_S = 2.0
"""The time in seconds for which a stopping switch waits for the responses to its BYEs."""
FIGURES_S = 5.0
_PROBE_S = 0.1
log = structlog.get_logger()


class Switch:
    """Creates and connects the objects that live as long as the switch process.

    Create the `Switch` inside the running event loop.
    """

    def __init__(self, settings: Settings) -> None:
        self.calls: dict[str, SwitchCall] = {}
        self._settings = settings
        self._loop = asyncio.get_running_loop()
        self._collector = Collector()
        self._signals = 0
        self._refused = 0
        self._handing_over = False
        self._reported: dict[str, str | None] = {}
        self._stopping = asyncio.Event()
        self._stop_now = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._phones = Phones(settings.node.state / "switch", settings.phones, settings.sip.realm)
        self._spools = SpoolFactory(settings)
        self._lasting = LastingDialogs(settings.node.state / "switch" / "dialogs.jsonl")
        self._checkpoints = CheckpointStore(settings.node.runtime / "calls", self._lasting)
        outbox = settings.node.state / "switch" / "ended.jsonl"
        away = AwayUsers()
        commands = DeskCommands(self.calls, self._phones, away)
        self._links = LinkServer(commands, outbox)
        self._relay = Relay(
            *_pools(settings),
            source=SourceRule(settings.media.source),
            silence_s=settings.media.silence_alarm,
            on_silence=self._on_silence,
            on_refused=self._on_refused,
            on_contested=self._on_contested,
        )
        self._endpoint = Endpoint(supported=supported_by(settings.sip))
        self._guard = FloodGuard(
            settings.sip,
            is_trunk=lambda *sender: settings.find_trunk(*sender) is not None,
            trunks=[peer.network for trunk in settings.trunks for peer in trunk.peers],
            in_call=self._endpoint.has_call_id,
            set_filter=self._set_filter,
        )
        self._overload = OverloadControl(settings.sip, lambda: self._relay.free_pairs)
        self._cpu_wait = CpuWait()
        self._transport = SipTransport(
            self._endpoint,
            self._on_event,
            limits=limits_of(settings.sip),
            source_filter=self._guard,
            on_sent=self._relay.keep_up,
        )
        self._listening = Listening(settings.sip, self._transport)
        self._context = context = CallContext(
            endpoint=self._endpoint,
            relay=self._relay,
            links=self._links,
            naming=NamingMonitor(settings, self._links.alarm),
            router=Router(settings, self._phones, self._transport.is_open, away=away),
            spools=self._spools,
            checkpoints=self._checkpoints,
            settings=settings,
            flush=self._transport.flush,
            find=self.calls.get,
            live_calls=self.calls.values,
            forget=self._forget,
        )
        self._router = context.router
        commands.dialler = Dialler(
            context,
            self._phones,
            self.calls,
            stopping=self._stopping.is_set,
            placed=self._idle.clear,
        )
        locate, alarm = context.router.locations, self._links.alarm
        self._trunk_accounts = TrunkAccounts(settings, self._endpoint, locate, alarm)
        self._peer_monitor = PeerMonitor(settings, self._endpoint, locate, alarm)
        self._phones.on_moved = self._on_moved
        admission_control = AdmissionControl(
            settings,
            self._phones,
            secrets.token_bytes(32),
            GuessLimits(self._phones.known, self._links.alarm),
            self._guard.count_outcome,
        )
        sources = DialogSources(
            settings, self._phones, admission_control, self._admission_of, self._links.alarm
        )
        self._endpoint.check_sources(sources.check)
        self._dispatcher = EventDispatcher(
            context,
            admission_control,
            self.calls,
            self._overload,
            self._stopping.is_set,
        )

    async def main(self) -> int:
        """Run the switch until a signal stops the process; return the exit status."""
        for number in (signal.SIGTERM, signal.SIGINT):
            self._loop.add_signal_handler(number, self._on_signal)
        self._loop.add_signal_handler(signal.SIGUSR1, self._hand_over)
        self._loop.add_signal_handler(signal.SIGHUP, self._listening.reload)
        await self._router.locations.begin()
        self._spools.sync.start(self._loop)
        self._transport.queue_received()
        self._update_guard(read_clocks().mono)
        await self._listening.start()
        self._revive()
        self._update_guard(read_clocks().mono)
        self._transport.release_received()
        server = await self._links.listen(self._settings.switch_socket)
        self._spools.recipients()
        helpers = [
            asyncio.create_task(work)
            for work in (
                self._router.locations.run(),
                self._sweep(),
                self._watch_loop(),
                self._links.outbox.run(),
                self._lasting.run(),
                supervise.watchdog(),
            )
        ]
        self._collector.start()
        log.info("switch.ready")
        supervise.ready()
        await self._stopping.wait()
        if not self._handing_over:
            await self._drain()
        server.close()
        for helper in helpers:
            helper.cancel()
        self._relay.close_all()
        # After SIGUSR1, the calls are still live here. Write their audio to the spools, so that the
        # next process can continue the calls.
        for call in self.calls.values():
            call.recording.tick()
            call.save_checkpoint()
        self._transport.close()
        self._phones.save(read_clocks().mono)
        self._links.outbox.close()
        self._lasting.close()
        self._cpu_wait.close()
        self._spools.sync.stop()
        return 0

    def _revive(self) -> None:
        revived = revive(self._context, self._dispatcher, self.calls)
        if revived is not None:
            self._links.alarm("switch.restarted", None, str(revived))
        if self.calls:
            self._idle.clear()

    def _report_faults(self, now: float) -> None:
        """Raise an alarm for each new fault of the recording or of the emergency route."""
        has_phones = self._phones.registered(now) > 0
        faults = {
            "recording.no_recipients": self._spools.fault,
            "recording.no_host_key": self._spools.key_fault,
            "spool.disk_failed": self._spools.disk_fault,
            "emergency.no_route": self._router.emergency.fault if has_phones else "",
        }
        for kind, fault in faults.items():
            if fault and fault != self._reported.get(kind):
                self._links.alarm(kind, None, fault)
        self._reported = faults

    async def _sweep(self) -> None:
        while True:
            now = read_clocks().mono
            self._relay.sweep(now)
            self._phones.save(now)
            self._links.devices(self._phones.devices(now))
            self._trunk_accounts.tick(now)
            self._peer_monitor.tick(now)
            self._transport.flush()
            self._report_faults(now)
            self._update_guard(now)
            self._guard.sweep(now)
            self._collector.tick(len(self.calls))
            await asyncio.sleep(1.0)

    def _update_guard(self, now: float) -> None:
        registered = self._phones.hosts(now)
        self._guard.set_known_hosts(registered | self._router.hosts() | self._endpoint.peers())

    def _set_filter(self, flooding: Sequence[Network], friends: Sequence[Network] | None) -> None:
        self._transport.drop_from(flooding, friends)

    async def _watch_loop(self) -> None:
        """Measure the event loop's delay ten times a second, and send `Figures` every 5 s."""
        while True:
            worst = 0.0
            until = self._loop.time() + FIGURES_S
            while (now := self._loop.time()) < until:
                await asyncio.sleep(_PROBE_S)
                self._transport.check_idle()
                late = self._loop.time() - now - _PROBE_S
                self._overload.late(
                    late, self._relay.waiting_s, self._loop.time(), self._cpu_wait.since_last()
                )
                worst = max(worst, late)
            self._links.figures(
                Figures(
                    calls=len(self.calls),
                    phones=self._phones.registered(now),
                    loop_lag_ms=round(worst * 1000, 1),
                    media_refused=self._refused,
                    sip_dropped=self._endpoint.dropped.total(),
                    faults=self._transport.faults,
                    calls_refused=self._overload.refused,
                    sip_shed=self._guard.shed + self._transport.shed,
                    sources_banned=self._guard.banned(now),
                    peers=(
                        *self._trunk_accounts.peer_statuses(),
                        *self._peer_monitor.peer_statuses(),
                    ),
                    naming=self._context.naming.states(),
                    emergency_route=not self._router.emergency.fault,
                )
            )

    async def _drain(self) -> None:
        """Wait until all calls have ended. After a second signal, hang up the remaining calls."""
        supervise.stopping()
        log.info("switch.draining", calls=len(self.calls))
        self._trunk_accounts.stop(read_clocks().mono)
        self._transport.flush()
        hurry = asyncio.create_task(self._stop_now.wait())
        idle = asyncio.create_task(self._idle.wait())
        await asyncio.wait([hurry, idle], return_when=asyncio.FIRST_COMPLETED)
        hurry.cancel()
        if self._handing_over:
            return
        now = read_clocks()
        for call in list(self.calls.values()):
            call.hangup('Q.850;cause=41;text="service stopped"', now)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(idle, BYE_WAIT_S)
        self._transport.flush()

    def _hand_over(self) -> None:
        """Stop without ending the calls, which the next process continues. `main` does the rest."""
        log.info("switch.handing_over", calls=len(self.calls))
        supervise.stopping()
        self._handing_over = True
        self._stopping.set()
        self._stop_now.set()

    def _on_signal(self) -> None:
        self._signals += 1
        self._stopping.set()
        if self._signals > 1:
            self._stop_now.set()

    def _on_event(self, event: SipEvent) -> None:
        now = read_clocks(self._transport.arrived)
        self._overload.message_waited(now.mono - now.arrived)
        self._trunk_accounts.on_event(event, now.mono)
        self._peer_monitor.on_event(event, now.mono)
        self._dispatcher.on_event(event, now)
        if self.calls:
            self._idle.clear()

    def _forget(self, call_id: str) -> None:
        self.calls.pop(call_id, None)
        if not self.calls:
            self._idle.set()

    def _admission_of(self, call_id: str) -> Admission | None:
        call = self.calls.get(call_id)
        return None if call is None else call.admission

    def _on_moved(self, old: Address, new: Address) -> None:
        if not self._transport.is_open(old):
            self._endpoint.peer_reconnected(old, new)

    def _on_silence(self, leg_id: str, seconds: float) -> None:
        call = call_of_leg(self.calls, leg_id)
        if call is not None:
            call.on_silence(leg_id, seconds)

    def _on_refused(self, leg_id: str, _host: str, _port: int) -> None:
        """Count a burst of refused media, and raise an alarm. The relay reports each burst once."""
        self._refused += 1
        call = call_of_leg(self.calls, leg_id)
        self._links.alarm("media.refused", call.call_id if call is not None else None)

    def _on_contested(self, leg_id: str, _host: str, _port: int) -> None:
        """Raise an alarm: two senders claim to be the same party of a call."""
        call = call_of_leg(self.calls, leg_id)
        self._links.alarm("media.contested", call.call_id if call is not None else None)


def _pools(settings: Settings) -> list[PortPool]:
    """Return one pool of media ports for each address of `[media] listen`, with the same range.

    Each pool reserves two pairs for each emergency call that the settings ask for, but at most a
    tenth of its pairs.
    """
    media, sip = settings.media, settings.sip
    reserved = min(sip.emergency_calls, media.ports.calls // 10) if sip.emergency_numbers else 0
    return [
        PortPool(
            host,
            media.ports.first,
            media.ports.last,
            advertise=host_of_family(media.advertise, host) or reachable_host(host),
            reserved=2 * reserved,
        )
        for host in media.listen
    ]


def run(settings: Settings) -> int:
    """Run the switch until a signal stops it; return the exit status."""

    async def main() -> int:
        return await Switch(settings).main()

    try:
        return uvloop.run(main())
    except OSError as error:
        log_cannot_start("switch", error)
        return 1
