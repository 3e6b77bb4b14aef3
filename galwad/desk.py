"""The `Desk`: it creates the parts of the desk process and connects them with each other.

The parts are the database, the links to the switch and the finaliser, the lookup of callers, and
the live calls with their events. Data that must survive a restart of the desk is written to the
database before the desk acknowledges the message with this data. Live calls and screen-pops are
only in memory. After a restart, the desk rebuilds them from the switch's snapshot and looks the
callers up again.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Sequence
from contextlib import aclosing
from functools import cached_property

import structlog
from argon2 import PasswordHasher

from callerid.directories.embedded import LIMITS, EmbeddedDirectory
from callerid.limited_source import LimitedSource, Observation, SourceLimits
from callerid.lookup import Lookup
from callerid.note import Note, NoteDestination
from callerid.source import DirectorySource
from galwad.archive.coverage import CoverageChecker, CoverageResult, IndexChecker
from galwad.archive.desk_socket import DeskSocket, FinaliserClient
from galwad.archive.files import ArchiveFolder
from galwad.archive.indexer import Indexer
from galwad.archive.periodic import (
    COVERAGE_CHECKED,
    AnchorFile,
    NightlyCheck,
    RecipientsWatch,
)
from galwad.archive.promises import PromiseChecker
from galwad.calls.alarms.alarm_list import AlarmList, CallStage
from galwad.calls.alarms.kinds import ENDS, Ending, kind_of, may_see
from galwad.calls.alarms.store import StoredAlarm
from galwad.calls.ledger_writer import LedgerWriter
from galwad.calls.live_calls import ACTS, DIALS, SEARCHES, DeskCall, LiveCalls
from galwad.calls.log.call_log import CallLog
from galwad.calls.pause_warnings import ForgottenPauses, Heartbeats
from galwad.calls.payment_tokens import PaymentTokens
from galwad.calls.presence.board import (
    PresenceBoard,
    PresenceListeners,
    may_be_at_pbx,
)
from galwad.calls.presence.store import Breaks
from galwad.directories.opened import open_directories, open_note_destination, record_pages
from galwad.events.stream import CallStream
from galwad.events.webhooks import Webhooks
from galwad.host.background import BackgroundTasks
from galwad.host.call_follower import CallFollower
from galwad.host.connections.acceptor import connection_limit
from galwad.host.connections.places import PlaceLimits, Places
from galwad.host.database import open_engine, upgrade
from galwad.host.limits import Window
from galwad.host.metrics import Metrics
from galwad.host.networks import network_of
from galwad.host.switch_client import FromSwitch, SwitchClient
from galwad.messages import (
    Alarm,
    CallChanged,
    CallEnded,
    CallsSnapshot,
    Figures,
    Party,
    PhonesRegistered,
    Sealed,
)
from galwad.notes.delivery import NoteDelivery, NoteForm, NoteOutbox
from galwad.notes.earlier import EarlierContacts
from galwad.notes.open_notes import OpenNotes
from galwad.notes.rules import OpenNote
from galwad.notes.store import NoteDrafts, NoteStore
from galwad.page.events import EventHub
from galwad.people.oidc.provider_accounts import ProviderAccounts
from galwad.people.second_factor import SecondFactors, SecretBox
from galwad.people.sessions import Sessions
from galwad.people.sign_in.approvals import CODES, Approvals
from galwad.people.sign_in.limits import SignInLimits
from galwad.people.store import Users
from galwad.people.tokens import TokenWatch
from galwad.people.user import User
from galwad.settings import Settings
from galwad.texts.store import TextStore
from galwad.texts.text_lists import TextLists, initial_lists, page_texts
from recording.audit.index_comparison import IndexComparison
from recording.audit.log import AuditFilter, AuditLog
from recording.index.catalogue import Catalogue
from recording.index.custody import CapturedCards, Custodian
from recording.index.ledger import Ledger
from recording.keys.keyring import RecipientsFile

PROXIES = ("127.0.0.1", "::1")
"""The addresses of a reverse proxy, if `[desk] public_origin` is set."""
_TIMEOUT_S = 2.0
_KNOWN_SIGN_INS = 2000
"""The most sign-ins that the desk reads from the audit at its start."""
_DAY_S = 86_400.0
_KNOWN_SIGN_INS_S = 30 * _DAY_S
_FLOOD_ALARM_S = 3600.0
"""The least seconds between two alarms about a flood of sign-ins at the provider."""
log = structlog.get_logger()


class Desk:
    """One desk process with all its parts. `start` opens the parts, and `stop` closes them."""

    peers_down = 0
    """The number of monitored peers that do not respond, or that refuse our registration.

    The switch monitors trunks and other peers by their responses to our OPTIONS or REGISTER
    requests.
    """
    _switch_lost = False
    """True from the loss of the link to the switch until it is connected again."""

    _flood_alarmed = float("-inf")
    """The monotonic time of the newest alarm about a flood of sign-ins at the provider."""

    def __init__(
        self,
        settings: Settings,
        sources: Sequence[tuple[DirectorySource, SourceLimits]] = (),
        hasher: PasswordHasher | None = None,
    ) -> None:
        self.settings = settings
        upgrade(settings.database)
        self.engine = open_engine(settings.database)
        self.places = Places(
            PlaceLimits.within(connection_limit(settings.desk.max_connections)),
            PROXIES if settings.desk.public_origin is not None else (),
        )
        self.metrics = Metrics(self.places)
        self.hub = EventHub()
        self.calls = LiveCalls(
            self._call_changed,
            record_pages(settings.directories),
            wrapup_limit=settings.contact_notes.wrap_up,
        )
        self.notes = OpenNotes(
            NoteStore(self.engine),
            NoteDrafts(self.engine),
            self.calls,
            self.hub,
            close_after=settings.contact_notes.close_after,
            may_close=lambda: self.switch.connected,
            on_closed=self._note_closed,
            on_round=self._notes_closed,
        )
        self.users = Users(self.engine, hasher)
        self.presence = PresenceBoard(
            self.users,
            Breaks(self.engine),
            self.calls.all,
            PresenceListeners(
                changed=self.hub.presence,
                away=lambda _away: self.switch.set_away(),
                counted=self.metrics.users_counted,
            ),
            at_pbx=lambda user: may_be_at_pbx(user, settings.routes),
        )
        self.sessions = Sessions(
            self.engine,
            settings.desk.session_idle,
            settings.desk.session_absolute,
            personal=settings.desk.personal_tokens,
        )
        self.provider = ProviderAccounts.opened(
            settings.sign_in, settings.desk.origin, self.engine, self._sign_ins_flooded
        )
        self.payment_tokens = PaymentTokens(self.engine)
        self.searches, self.dials, self.acts, self.codes = map(
            Window[str], (SEARCHES, DIALS, ACTS, CODES)
        )
        self.sign_in_limits = SignInLimits.with_key_in(settings.device_key)
        self.catalogue = Catalogue(self.engine)
        self.custodian = Custodian(self.engine)
        self.captured_cards = CapturedCards(self.engine)
        self.audit = AuditLog(
            self.engine, settings.node.name, settings.audit_key, on_cut=self._audit_cut
        )
        self.alarms = AlarmList(
            self.engine,
            self.audit.append,
            self._alarm_changed,
            kept_s=settings.desk.alarm_days * _DAY_S,
            audit_after=self.audit.append_after,
        )
        self.archive = ArchiveFolder(settings.archive)
        self.anchors = AnchorFile(settings.anchor_file, settings.node.name, self.audit, self._alarm)
        self.ledger = LedgerWriter(self.follower, self._ends_stored)
        self.call_log = CallLog(self.engine, self.follower, settings.call_log, self.hub.day_changed)
        comparison = IndexComparison(self.engine, settings.node.name)
        self.finaliser = FinaliserClient()
        self.coverage = CoverageChecker(
            *(Ledger(self.engine), self.catalogue, self.custodian, self.archive, comparison),
            prove_spools=self.finaliser.prove_spools,
        )
        self.index_checker = IndexChecker(self.catalogue, self.archive, comparison)
        self.promises = PromiseChecker(
            self.coverage,
            self.catalogue,
            self.captured_cards,
            self.archive,
            self.audit,
            node=settings.node.name,
            reminder_s=settings.desk.pause_reminder,
            alarm_s=settings.desk.pause_alarm,
            officer_key=settings.recording.officer_key,
        )
        self.nightly = NightlyCheck(
            settings.desk.nightly,
            self.coverage,
            self.audit,
            calls_in_progress=self.calls_in_progress,
            on_alarm=self._alarm,
            on_done=self._show_result,
            on_finished=self.anchors.append,
            zone=settings.desk.time_zone,
        )
        self.lookup = self._lookup_in(sources or self._directories())
        self.delivery = self._delivery_to(
            open_note_destination(settings.directories, settings.desk.time_zone)
        )
        self.switch = SwitchClient(
            settings.switch_socket,
            self._from_switch,
            self._switch_connection,
            phones=self.users.accounts,
            away=lambda: self.presence.away,
        )
        self.indexer = Indexer(self.audit, on_indexed=self._indexed, on_alarm=self._alarm)
        self.socket = DeskSocket(
            settings.desk_socket,
            self.finaliser,
            self.indexer,
            on_alarm=self._alarm,
            on_users=self.users_changed,
            on_spools=self.coverage.spools_left,
        )
        self._forgotten = ForgottenPauses(
            self.calls,
            self._warn,
            advisor_s=settings.desk.pause_reminder,
            supervisor_s=settings.desk.pause_alarm,
            on_count=self.metrics.forgotten_pauses.set,
        )
        self.heartbeats = Heartbeats(
            self.calls, self._warn, on_count=self.metrics.lost_payment_pages.set
        )
        self.call_stream, self.webhooks = self._call_events()
        self._recipients = RecipientsWatch(self.recipients, self.audit, on_alarm=self._alarm)
        self.background = BackgroundTasks()

    @cached_property
    def recipients(self) -> RecipientsFile:
        """The file with the signed set of recipients, which has no secrets."""
        settings = self.settings
        return RecipientsFile(
            settings.recipients,
            settings.newest_recipients("desk"),
            settings.recording.officer_key,
        )

    @cached_property
    def follower(self) -> CallFollower:
        """The writer of the reports about calls: into the ledger, the log and the call events."""
        return CallFollower(self.audit)

    @cached_property
    def texts(self) -> TextLists:
        """The lists of texts that people choose from, as they count now."""
        settings = self.settings
        return TextLists(
            TextStore(self.engine),
            initial_lists(settings.routes, settings.contact_notes, settings.presence),
            self.audit.append,
            self._texts_changed,
            free_text=settings.contact_notes.free_text,
        )

    @cached_property
    def command_lines(self) -> Approvals:
        """The command lines that wait until a person approves them on the page."""
        return Approvals()

    @cached_property
    def panels(self) -> Approvals:
        """The panels of a CRM that wait until a person approves them on the page."""
        return Approvals()

    @cached_property
    def second_factors(self) -> SecondFactors:
        """The second factors of the users who sign in with a password."""
        return SecondFactors(self.engine, SecretBox(self.settings.second_factor_key))

    def _call_events(self) -> tuple[CallStream, Webhooks]:
        """Return the stream of call events, and the webhooks, which store events for it."""
        stream = CallStream(self.settings.event_stream, self.engine)
        webhooks = Webhooks(
            self.settings.webhook,
            self.engine,
            self.metrics,
            self._alarm,
            self._event_delivered,
            follower=self.follower,
            stream=stream,
        )
        return stream, webhooks

    @property
    def contacts(self) -> NoteStore:
        """The contact notes in the database."""
        return self.notes.store

    @cached_property
    def earlier(self) -> EarlierContacts:
        """The earlier contacts of confirmed callers."""
        notes_to = (each.name for each in self.settings.directories if each.takes_notes)
        outbox = NoteOutbox(self.engine)
        return EarlierContacts(self.contacts, outbox, self.lookup, next(notes_to, ""))

    def _directories(self) -> Sequence[tuple[DirectorySource, SourceLimits]]:
        """Return the embedded directory and those of the settings, with their limits."""
        embedded = EmbeddedDirectory(self.settings.directory_file)
        return [(embedded, LIMITS), *open_directories(self.settings.directories)]

    def _lookup_in(self, sources: Iterable[tuple[DirectorySource, SourceLimits]]) -> Lookup:
        """Return the lookup in these directories, whose searches are counted and logged."""
        area_code = self.settings.directory.area_code
        limited = [
            LimitedSource(source, limits, area_code=area_code, observe=self._searched)
            for source, limits in sources
        ]
        self.metrics.watch_directories(limited)
        return Lookup(limited, self.settings.directory.budget, self.settings.directory.merge_by)

    def _delivery_to(self, destination: NoteDestination | None) -> NoteDelivery:
        """Return the delivery of contact notes to this system."""
        notes = self.settings.contact_notes
        recordings = (
            f"{self.settings.desk.origin}/api/v1/recordings/" if notes.recording_link else ""
        )
        return NoteDelivery(
            NoteOutbox(self.engine),
            destination,
            NoteForm(
                destination.name if destination else "",
                self.texts.purpose_code,
                self.texts.no_note_words,
                recordings,
            ),
            on_outcome=self.metrics.note_attempted,
            on_refused=self._note_refused,
            on_backlog=self.metrics.note_backlog,
        )

    async def start(self) -> None:
        """Restore the state that the desk had before its restart, then start the desk's parts.

        The desk restores the calls whose contact notes are not written, and the result of the most
        recent coverage check. The started parts listen on `desk.sock`, connect to the switch, write
        the ledger and run the periodic checks.
        """
        for contact, call in await self.notes.restore():
            self._look_up_restored(call, contact.person_id)
        await self._remember_sign_ins()
        await self.alarms.start()
        self.metrics.open_alarms(self.alarms.open())
        await self.webhooks.start()
        await self.presence.start()
        await self.texts.start()
        checked = await self.audit.last(COVERAGE_CHECKED)
        if checked is not None:
            self.metrics.faulty_calls.set(int(checked.facts.get("amiss", 0)))
            self.metrics.orphans.set(int(checked.facts.get("orphans", 0)))
        await self.socket.start()
        self.background.start(
            self.switch.run(),
            self.presence.run(),
            self._forgotten.run(),
            self.heartbeats.run(),
            TokenWatch(self.sessions.tokens, self.metrics.token_expiry.set).run(),
            self._recipients.run(),
            self.follower.run(),
            self.nightly.run(),
            self.delivery.run(),
            self.alarms.run(),
            self.notes.run(),
            self.webhooks.run(),
            self.call_stream.run(),
            self.call_log.run(),
        )

    async def _remember_sign_ins(self) -> None:
        """Learn from the audit which accounts have signed in from which networks.

        So a restart during an attack takes nothing from the people who have signed in before.
        """
        now = time.time()
        sought = AuditFilter(kind="sign-in.accepted", since=now - _KNOWN_SIGN_INS_S)
        for entry in reversed(await self.audit.search(sought, limit=_KNOWN_SIGN_INS)):
            values = {name: value for name, (_, value) in entry.values.items()}
            address = values.get("address", "")
            if address and values.get("user"):
                self.sign_in_limits.throttle.know(values["user"], address)
                age = max(now - entry.at_us / 1e6, 0.0)
                self.places.know(network_of(address), time.monotonic() - age)

    async def stop(self) -> None:
        """Close the event streams, the links to the other processes, and the database."""
        self.hub.close()
        await self.socket.stop()
        await self.background.cancel_loops()
        self.call_log.stop()
        self.webhooks.stop()
        await self.follower.stop()
        await self.alarms.stop()
        if self.provider is not None:
            await self.provider.flow.close()
        # Wait for running lookups and writes of contact notes, because they take only a short time.
        await self.background.finish(_TIMEOUT_S)
        await self.lookup.close()
        await self.sessions.stop()
        await self.engine.dispose()

    def _call_changed(self, before: DeskCall | None, after: DeskCall | None) -> None:
        self.metrics.live_calls.set(len(self.calls))
        self.hub.call(before, after)
        if before is not None:
            self.alarms.call_changed(before.call_id, _stage_of(before), _stage_of(after))
        if before is not None and after is not None and before.state.callers < after.state.callers:
            self.background.spawn(self.contacts.forget_confirmation(after.call_id))
        if after is not None and not after.wrapup and after.advisor is not None:
            known = before.advisor if before is not None else None
            new_caller = before is not None and before.pop.caller != after.pop.caller
            if known != after.advisor or new_caller:
                self.background.spawn(self._open_note(after))
        if after is not None:
            began = before.wrapup_began if before is not None else after.wrapup_began
            if after.wrapup_began is not None and after.wrapup_began != began:
                self.background.spawn(self.notes.save_end(after.call_id, after.wrapup_began))
            self.ledger.call(after.state)
            self.call_log.call_changed(before, after)

    def _from_switch(self, message: FromSwitch) -> None:
        match message:
            case CallsSnapshot():
                self.ledger.snapshot({call.call_id for call in message.calls})
                for call in self.calls.snapshot(message.calls, time.time()):
                    self.background.spawn(self._look_up(call))
                self.alarms.calls_known(lambda call_id: _stage_of(self.calls.get(call_id)))
            case CallChanged():
                new = self.calls.changed(message.call)
                if new is not None:
                    self.background.spawn(self._look_up(new))
            case CallEnded():
                self.ledger.ended(message)
                self.calls.ended(message.call_id, message.ended, answered=message.answered)
            case Figures():
                self.metrics.switch(message)
                self.peers_down = sum(not peer.up for peer in message.peers)
                self.alarms.peers_known(message.peers)
                self.alarms.naming_known(message.naming)
                if message.emergency_route:
                    self.alarms.emergency_route_known()
            case Alarm():
                self._alarm(message)
            case PhonesRegistered():
                self.presence.registered(message)
        self.call_log.received(message)
        self.webhooks.received(message)

    def _texts_changed(self) -> None:
        self.hub.texts_changed(page_texts(self.texts))

    def _ends_stored(self, call_ids: Collection[str]) -> None:
        """Report to the switch that the ends of these calls are stored in the ledger."""
        self.switch.acknowledge_ends(call_ids)

    def _switch_connection(self, connected: bool) -> None:  # noqa: FBT001 - the callback has one parameter
        self.metrics.switch_connected.set(connected)
        self.presence.set_connected(connected)
        kind = "switch.connected" if connected else "switch.lost"
        log.info(kind)
        # The first connection to the switch after the desk's start is normal. So it is only shown
        # on the pages, and is not an alarm in the log and the metrics.
        if connected and not self._switch_lost:
            self.alarms.event(kind, "")
            self.hub.alarm(kind, audience="everybody")
        else:
            self._warn(kind)
        self._switch_lost = not connected

    def calls_in_progress(self) -> set[str] | None:
        """Return the ids of the calls that have not ended. Calls in wrap-up have ended.

        Return None while the switch is not connected, because the desk then does not know the
        calls.
        """
        if not self.switch.connected:
            return None
        return {call.call_id for call in self.calls.all() if not call.wrapup}

    def _show_result(self, result: CoverageResult) -> None:
        self.metrics.faulty_calls.set(len(result.faulty_calls))
        self.metrics.orphans.set(len(result.orphans))

    def claim(self, call: DeskCall, user: User) -> DeskCall:
        """Make `user` the advisor of a call that a PBX answered for a group.

        Return the changed call. If the advisor is already known, or `user` is not in the group,
        return the call unchanged.
        """
        if not call.may_be_claimed_by(user):
            return call
        advisor = Party(user.extension or "", user.name)
        self.switch.claim(call.call_id, advisor)
        return self.calls.claim(call, advisor)

    async def _look_up(self, call: DeskCall, person_id: str = "") -> None:
        """Look up the caller of a call, and show each result on the pages.

        `person_id` is the person whom an advisor confirmed before a restart of the desk; "" if
        there is none. This person is chosen as soon as a directory finds them. The details are
        shown only after a new confirmation.
        """
        started = time.monotonic()
        event = "lookup.done"
        async with aclosing(self.lookup.look_up(call.pop.caller)) as results:
            async for result in results:
                current = self.calls.lookup_result(call, result)
                if current is None:
                    return
                pop = current.pop
                if person_id and not pop.chosen_by_advisor and pop.has_candidate(person_id):
                    self.calls.choose(current, person_id)
                self.background.spawn(self.save_entries(current))
                taken, status = time.monotonic() - started, result.status.value
                if event == "lookup.done":
                    self.metrics.lookups.labels(status).observe(taken)
                log.info(
                    event,
                    call_id=call.call_id,
                    status=status,
                    failed=list(result.failed),
                    ms=round(taken * 1000),
                )
                event = "lookup.more"

    async def save_entries(self, call: DeskCall) -> None:
        """Save all entries that the confirmed person of a call has in directories."""
        person = call.pop.confirmed_person
        if person is not None:
            await self.contacts.add_entries(call.call_id, person, time.time())
            self.delivery.wake()

    def _note_closed(self, note: Note) -> None:
        """Count a note that was closed because it was not saved, and deliver it."""
        self.metrics.note_closed(note)
        self.delivery.wake()

    def _notes_closed(self, count: int) -> None:
        self._alarm(Alarm("notes.not_written", None, f"{count} closed"))

    def _note_refused(self, call_id: str) -> None:
        self._alarm(Alarm("note.refused", call_id))

    def _look_up_restored(self, call: DeskCall | None, person_id: str = "") -> None:
        """Begin to look up the caller of a restored call, if its caller is known."""
        if call is not None:
            self.background.spawn(self._look_up(call, person_id))

    def _searched(self, search: Observation) -> None:
        """Count a search in a directory, and log why the directory could not be searched."""
        self.metrics.searched(search)
        if search.reason:
            log.warning(
                "lookup.source_failed",
                source=search.source,
                state=search.state.value,
                reason=search.reason,
                ms=round(search.seconds * 1000),
            )

    async def _open_note(self, call: DeskCall) -> None:
        """Store in the database that the advisor of `call` must write a contact note.

        This is done as soon as the call is answered, so that the note is not forgotten. If the
        advisor has already saved a note, copy it from the database to the live call.
        """
        call = self.calls.get(call.call_id) or call
        if call.advisor is None:
            return
        caller = call.pop.caller
        await self.contacts.open_note(
            OpenNote(
                call.call_id,
                call.state.started,
                call.state.line,
                call.advisor_name or "",
                call.advisor.extension,
                str(caller.number or ""),
                caller.withheld,
                ended=call.wrapup_began or 0.0,
            )
        )
        note = await self.contacts.note(call.call_id)
        current = self.calls.get(call.call_id)
        if note is not None and current is not None and current.note is None:
            self.calls.note_saved(call.call_id, note)

    async def _indexed(self, reports: Sequence[Sealed]) -> None:
        """Handle recordings that are now in the index.

        Add them to the log of calls, and put their events into the outbox of call events. Then
        handle each recording by itself.

        Raises:
            AuditError: The database cannot be written.
        """
        await self.call_log.sealed(reports)
        await self.webhooks.sealed(reports)
        for sealed in reports:
            await self._indexed_one(sealed)

    async def _indexed_one(self, sealed: Sealed) -> None:
        """Update the metrics, the alarms and the live call of a recording that is now indexed.

        If the recording has unexplained talk time, raise an alarm. If an advisor answered the call,
        but the call is not among the live calls and has no contact note, add the call to the live
        calls. The advisor can then still write the contact note.
        """
        self.alarms.ended(Ending.INDEXED, sealed.call_id)
        self.metrics.indexed.inc()
        self.metrics.undecoded.inc(sealed.undecoded)
        if sealed.unexplained_us:
            self.metrics.unexplained.inc(sealed.unexplained_us / 1_000_000)
            await self.coverage.unexplained_reported(sealed.call_id)
            self._alarm(Alarm("recording.unexplained", sealed.call_id))
        if sealed.advisor or sealed.extension:
            contact = OpenNote(
                sealed.call_id,
                sealed.started,
                sealed.line,
                sealed.advisor,
                sealed.extension,
                sealed.number or "",
                ended=sealed.started + sealed.talk_us / 1_000_000,
            )
            if self.calls.get(sealed.call_id) is None:
                await self.contacts.open_note(contact)
                if await self.contacts.note(sealed.call_id) is None:
                    self._look_up_restored(self.calls.add_without_note(contact))
        self.calls.set_recording_link(sealed.call_id, f"/api/v1/recordings/{sealed.call_id}")

    def _audit_cut(self, seq: int) -> None:
        """Raise an alarm: the audit entries directly before number `seq` are missing.

        The entries are missing from the database. The desk continues to run.
        """
        self._alarm(Alarm("audit.cut", None, f"the audit entries before number {seq} are missing"))

    def break_glass_used(self) -> None:
        """Raise an alarm: a user who may sign in without the provider has signed in."""
        self._alarm(Alarm("sign_in.break_glass", None))

    def _sign_ins_flooded(self, network: str) -> None:
        """Raise an alarm, at most once in `_FLOOD_ALARM_S`: a network floods the sign-in."""
        now = time.monotonic()
        if now - self._flood_alarmed >= _FLOOD_ALARM_S:
            self._flood_alarmed = now
            log.warning("sign_in.flooded", network=network)
            self._alarm(Alarm("sign_in.flooded", None, network))

    def wrong_password(self, account: str, network: str) -> None:
        """Log a wrong password, and raise an alarm if there are many."""
        log.warning("sign_in.wrong_password", network=network)
        for count in self.sign_in_limits.passwords.wrong(account, network):
            detail = {"account": "for one account", "network": f"from {network}"}.get(count, "")
            self._alarm(Alarm("sign_in.passwords_guessed", None, detail))

    def hold_ended_by_another(self, call_id: str) -> None:
        """Raise an alarm: an administrator has released a recording that another one retains."""
        self._alarm(Alarm("recording.hold_ended", call_id))

    def codes_guessed(self) -> None:
        """Raise an alarm: a client sends wrong codes of a user whose password it knows."""
        self._alarm(Alarm("sign_in.codes_guessed", None))

    def _alarm(self, alarm: Alarm) -> None:
        call = self.calls.get(alarm.call_id) if alarm.call_id else None
        self._warn(alarm.kind, call, alarm.call_id, detail=alarm.detail)

    def _warn(
        self, kind: str, call: DeskCall | None = None, call_id: str | None = None, detail: str = ""
    ) -> None:
        """Report an alarm in the journal, in the metrics, in the list of alarms and on the pages.

        An event such as `peer.up` ends an alarm instead.
        """
        named = call.call_id if call is not None else call_id
        log.warning("alarm", kind=kind, call_id=named, detail=detail)
        self.metrics.alarms.labels(kind).inc()
        if kind in ENDS:
            self.alarms.event(kind, detail)
            audience = kind_of(ENDS[kind]).audience
            self.hub.alarm(kind, call, call_id, audience)
            return
        line = call.state.line if call is not None else ""
        alarm = self.alarms.raised(Alarm(kind, named, detail), line)
        self.hub.alarm(kind, call, call_id, alarm.traits.audience, alarm)
        self.metrics.open_alarms(self.alarms.open())

    def _alarm_changed(self, alarm: StoredAlarm) -> None:
        """Show on the pages that an alarm was handled, or has ended."""
        self.hub.alarm_changed(alarm, self.calls.get(alarm.call_id or ""))
        self.metrics.open_alarms(self.alarms.open())

    def _event_delivered(self) -> None:
        self.alarms.ended(Ending.DELIVERED)

    def alarms_of(self, user: User) -> list[StoredAlarm]:
        """Return the alarms that this user may see, with those closed within a day."""
        return [alarm for alarm in self.alarms.all() if self.may_see_alarm(user, alarm)]

    def may_see_alarm(self, user: User, alarm: StoredAlarm) -> bool:
        """Return whether this user may see an alarm."""
        call = self.calls.get(alarm.call_id or "")
        concerned = call is not None and call.takes_part(user)
        return may_see(alarm.traits.audience, supervises=user.supervises, concerned=concerned)

    async def users_changed(self) -> None:
        """Let a change of users take effect: end streams, and inform the switch of the phones."""
        self.sessions.recheck()
        self.hub.wake()
        await self.switch.set_phones()
        await self.presence.read_users()


def _stage_of(call: DeskCall | None) -> CallStage:
    return CallStage(call.state.recording, call.wrapup) if call is not None else CallStage()
