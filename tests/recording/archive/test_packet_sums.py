"""The packet counts of a sealed call add up, whatever happened to its packets.

Random calls with payments, transfers, a late switch, a bad network, a disk that refuses writes, and
a process that is killed. A relay counts what it received, as the real one does. Each call is
sealed, and the counts in its manifest are compared.

Covers `recording/archive/packet_ledger.py`.
"""

from __future__ import annotations

import asyncio
import errno
import shutil
from collections import Counter, deque
from dataclasses import dataclass, field, replace

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.examples import examples
from helpers.recording.office import Office
from helpers.recording.packets import CALL_ID, US, WALL, rtp
from recording.archive.accounting import FEWEST, SilentTrack, packet_problems, silent_parties
from recording.archive.manifest import Gap, Manifest, PacketStretch
from recording.archive.packet_ledger import PacketLedger
from recording.audio.track_counts import Progress
from recording.files.disk import Disk
from recording.policy import DestinationClass, ShutCauses, Trigger
from recording.recorder import Recorder
from recording.spool import Clock, SpoolWriter
from recording.spool.packet_counts import Arrivals

MONO = 500.0
SIAN = "user:sian"


class RefusingDisk(Disk):
    """A disk that refuses every write while `is_full`."""

    is_full = False

    def run(self, job, undo=None):
        if self.is_full:
            raise OSError(errno.ENOSPC, "no space left")
        return super().run(job, undo)


@dataclass
class Party:
    """One party: the number of its next packet, and its packets that the network delays."""

    number: int = 0
    delayed: list[bytes] = field(default_factory=list)


class Relayed:
    """One call, a relay that counts its packets, and the lives of the process that records it.

    `unread` has the packets that have arrived but are not read yet.
    """

    def __init__(self, office: Office, erase_back_s: float = 0.0) -> None:
        self.office = office
        self.erase_back_s = erase_back_s
        self.now = MONO
        self.life = 0
        self.disk = RefusingDisk()
        self.parties = Party(), Party()
        self.unread: deque[tuple[int, bytes, float, bool]] = deque()
        self.received = [0, 0]
        self.refused = [0, 0]
        self.totals = Counter[str]()

    def begin(self, standing: ShutCauses | None = None) -> None:
        """Begin a life of the process."""
        self.life += 1
        self.received, self.refused = [0, 0], [0, 0]
        office, life = self.office, self.life
        office.spools.mkdir(exist_ok=True)
        started = Clock(WALL + self.now - MONO, self.now)
        places = office.spools, office.runtime, CALL_ID, life, office.boot_key, None, started
        self.recorder = Recorder(
            lambda: SpoolWriter.create(*places, disk=self.disk),
            started,
            clock=lambda: self.now,
            wall=lambda: WALL + self.now - MONO,
            erase_back_s=self.erase_back_s,
            quarantine_s=1.0,
        )
        self.recorder.packets.arrivals = lambda track: Arrivals(
            self.received[track], self.refused[track]
        )
        self.recorder.catch_up = self.read
        self.recorder.event("call", {"number": "+442079460123", "line": "main"})
        for track in (0, 1):
            self.recorder.media(track, {8: ("PCMA", 8000, 1, ""), 97: ("unheard-of", 8000, 1, "")})
        self.talk(3, None)
        if standing is None:
            self.recorder.answered("sian", "201")
        else:
            self.recorder.restored(standing, "sian", "201")

    def kill(self, hundredths: int) -> None:
        """Kill the process; after this time the next life continues from the files on disk."""
        standing = self.recorder.shut_causes
        root = self.office.root.with_name(f"life-{self.life}")
        shutil.copytree(self.office.root, root)
        self.disk.is_full = False
        self.recorder.close()
        self.office = Office(root, self.office.officer, self.office.boot_key, self.office.node)
        self.unread.clear()
        self.now = round(self.now + hundredths / 100, 2)
        self.begin(standing)

    def talk(self, packets: int, how: str | None, *, read: bool = True) -> None:
        """Let both parties send; `how` is what happens to the first packet of each ten."""
        for count in range(packets):
            for track, party in enumerate(self.parties):
                self._send(track, party, how if count % 10 == 0 else None)
            if read:
                self.read()
            self.now = round(self.now + 0.02, 2)
            if read and round(self.now * 50) % 50 == 0:
                self.recorder.tick()

    def _send(self, track: int, party: Party, how: str | None) -> None:
        data = rtp(track, party.number, kind=97 if how == "undecodable" else 8)
        party.number += 1
        if how == "withheld":
            self.unread.append((track, data[:12], self.now, True))
        elif how == "delayed":
            party.delayed.append(data)
        elif how == "stray":
            self.unread.append((track, rtp(track, party.number + 20_000), self.now, False))
        elif how == "refused":
            self.refused[track] += 1
        elif how == "kernel":
            self.recorder.media_lost(track, 1, self.now - 0.02, self.now)
            self.totals[f"kernel {track}"] += 1
        elif how != "lost":
            self.unread.append((track, data, self.now, False))
        if how == "duplicate":
            self.unread.append((track, data, self.now, False))
        if how is None and party.delayed:
            self.unread += [(track, each, self.now, False) for each in party.delayed]
            party.delayed.clear()

    def read(self) -> None:
        """Give the recorder the packets that have arrived."""
        while self.unread:
            track, data, arrived, withheld = self.unread.popleft()
            self.received[track] += 1
            self.recorder.tap(track, data, arrived, withheld)

    async def take(self, what: str, detail) -> None:
        """Take one step."""
        match what:
            case "talk":
                self.talk(*detail)
            case "lag":
                self.talk(detail, None, read=False)
            case "killed":
                self.kill(detail)
            case "pause":
                holder, late = detail
                at = max(MONO, self.now - late)
                self.recorder.pause(holder, Trigger.PAGE, SIAN, arrived_mono=at)
            case "resume":
                if not self.disk.is_full:
                    await self.recorder.resume(detail, SIAN)
            case "refer":
                self.recorder.referred(detail, "phone:201", "somewhere")
            case "returned":
                self.recorder.returned()
            case "disk":
                self.disk.is_full = detail

    async def run(self, steps) -> None:
        """Run the whole call."""
        self.begin()
        self.talk(10, None)
        for step in steps:
            await self.take(*step)
        self.disk.is_full = False
        self.talk(110, None)
        self.recorder.ended("bye", arrived_mono=self.now - 0.05)
        self.recorder.close()


HOW = ["lost", "duplicate", "delayed", "undecodable", "withheld", "stray", "refused", "kernel"]
TALK = st.tuples(st.just("talk"), st.tuples(st.integers(1, 150), st.none() | st.sampled_from(HOW)))
HOLDERS = st.sampled_from(["page", "api"])
STEPS = st.one_of(
    TALK,
    TALK,
    st.tuples(st.just("lag"), st.integers(1, 100)),
    st.tuples(st.just("pause"), st.tuples(HOLDERS, st.sampled_from([0.0, 0.5, 2.5]))),
    st.tuples(st.just("resume"), HOLDERS),
    st.tuples(st.just("refer"), st.sampled_from(list(DestinationClass))),
    st.tuples(st.just("returned"), st.none()),
    st.tuples(st.just("disk"), st.booleans()),
)
KILLS = st.tuples(st.just("killed"), st.integers(0, 300))


def sealed(tmp_path_factory, steps, erase_back_s=0.0) -> tuple[Relayed, Manifest]:
    """Run a call with these steps, and return it with its manifest."""
    root = tmp_path_factory.mktemp("packets") / "life-0"
    root.mkdir()
    call = Relayed(Office(root), erase_back_s)
    asyncio.run(call.run(steps))
    office = call.office
    spools = sorted(office.spools.glob("*.spool"), key=lambda path: int(path.name.split(".")[1]))
    return call, office.seal(*spools).manifest


def stretches(manifest: Manifest) -> list[PacketStretch]:
    """Return the packet counts of a manifest, which must have them."""
    assert manifest.packets is not None
    return manifest.packets


def total(manifest: Manifest, channel: str, name: str) -> int:
    parties = [p for s in stretches(manifest) for p in s.parties if p.channel == channel]
    return sum(getattr(party, name) or 0 for party in parties)


def loud_gaps(call: Relayed, manifest: Manifest) -> list[Gap]:
    """Return the gaps that are not silent from edge to edge."""
    samples, rate = call.office.audio()
    return [
        gap
        for gap in manifest.gaps
        if samples[gap.from_us * rate // US : gap.to_us * rate // US].any()
    ]


@given(st.lists(STEPS, max_size=14), st.sampled_from([0.0, 2.0]))
@settings(deadline=None, max_examples=examples(150))
def test_the_packets_of_each_party_add_up_in_each_stretch_of_any_call(
    tmp_path_factory, steps, erase_back_s
):
    call, manifest = sealed(tmp_path_factory, steps, erase_back_s)
    assert packet_problems(manifest) == []
    assert all(stretch.complete for stretch in stretches(manifest))
    assert loud_gaps(call, manifest) == []
    for track, channel in enumerate(("caller", "advisor")):
        # The first three packets arrived before the answer, when there was no stretch yet.
        assert total(manifest, channel, "received") == call.received[track] - 3
        assert total(manifest, channel, "refused") == call.refused[track]
        assert total(manifest, channel, "lost_by_kernel") == call.totals[f"kernel {track}"]


@given(st.lists(st.one_of(STEPS, KILLS), max_size=14))
@settings(deadline=None, max_examples=examples(60))
def test_a_killed_process_makes_at_most_one_stretch_incomplete_and_no_count_wrong(
    tmp_path_factory, steps
):
    call, manifest = sealed(tmp_path_factory, steps)
    assert packet_problems(manifest) == []
    incomplete = [stretch for stretch in stretches(manifest) if not stretch.complete]
    assert len(incomplete) <= call.life - 1
    assert loud_gaps(call, manifest) == []


def test_packets_that_the_gate_drops_are_counted_by_reason(tmp_path_factory):
    steps = [
        *(("talk", (50, None)), ("lag", 25), ("pause", ("page", 0.5)), ("talk", (40, None))),
        *(("resume", "page"), ("talk", (30, None))),
        *(("refer", DestinationClass.EXTERNAL), ("talk", (20, None)), ("returned", None)),
    ]
    _, manifest = sealed(tmp_path_factory, steps)
    found = [(s.gap, s.parties[0].stored, s.parties[0].dropped) for s in stretches(manifest)]
    assert found == [
        ("", 60, {"payment": 25}),
        ("payment", 0, {"payment": 40}),
        # The sound of the first packet after a resume is from before the resume.
        ("", 29, {"late": 1}),
        ("transfer", 0, {"transfer": 20}),
        ("", 107, {"erased": 2, "late": 1}),
    ]


def test_packets_that_may_be_late_after_a_resume_are_counted_as_late_with_their_time(office):
    call = Relayed(office)

    async def run():
        call.begin()
        call.recorder.pause("page", Trigger.PAGE, SIAN)
        # The parties are silent for a second, so their first packets can be a second late.
        call.now += 1.0
        call.talk(50, None)
        await call.recorder.resume("page", SIAN)
        call.talk(100, None)
        call.recorder.close()

    asyncio.run(run())
    manifest = office.seal(*office.spools.glob("*.spool")).manifest
    assert packet_problems(manifest) == []
    caller = stretches(manifest)[-1].parties[0]
    assert (caller.received, caller.stored, caller.dropped) == (100, 48, {"late": 52})
    assert caller.late_us == 1_020_000


@pytest.mark.parametrize(
    ("how", "text"),
    [
        ("undecodable", "50 packets received"),
        ("refused", "50 packets refused"),
    ],
)
def test_a_party_whose_packets_are_all_undecodable_or_refused_is_silent(
    tmp_path_factory, how, text
):
    call = Relayed(Office(tmp_path_factory.mktemp("packets")))
    call.begin()
    for _ in range(50):
        for track, party in enumerate(call.parties):
            call._send(track, party, how if track == 0 else None)
        call.read()
        call.now += 0.02
    call.recorder.ended("bye")
    call.recorder.close()
    manifest = call.office.seal(*call.office.spools.glob("*.spool")).manifest
    assert packet_problems(manifest) == []
    assert silent_parties(manifest) == [SilentTrack(0, manifest.talk_us, "caller", text)]


def test_packets_that_the_kernel_lost_are_not_counted_as_lost_by_the_network(tmp_path_factory):
    _, manifest = sealed(tmp_path_factory, [("talk", (50, "kernel")), ("talk", (50, "lost"))])
    for channel in ("caller", "advisor"):
        assert total(manifest, channel, "lost_by_kernel") == 5
        assert total(manifest, channel, "lost_by_network") == 5


def test_the_sound_before_a_storage_fault_is_recorded_up_to_the_gap(tmp_path_factory):
    steps = [("talk", (70, None)), ("disk", True), ("talk", (100, None)), ("disk", False)]
    call, manifest = sealed(tmp_path_factory, steps)
    (gap,) = manifest.gaps
    assert (gap.reason, gap.trigger) == ("fault", "storage")
    samples, rate = call.office.audio()
    assert samples[: gap.from_us * rate // US].all()
    assert loud_gaps(call, manifest) == []


def test_a_few_unheard_packets_do_not_make_a_party_silent(tmp_path_factory):
    _, manifest = sealed(tmp_path_factory, [("talk", (100, "undecodable"))])
    assert silent_parties(manifest) == []
    quiet = msgspec.structs.replace(
        stretches(manifest)[0].parties[0], received=FEWEST - 1, heard=0, lost_by_network=0
    )
    stretch = replace(stretches(manifest)[0], parties=[quiet])
    assert silent_parties(msgspec.structs.replace(manifest, packets=[stretch])) == []


CHANGES = {
    "received": "caller, segment 0.0 s to 1.2 s: 71 packets received, but 60 stored or dropped",
    "stored": "71 packets stored, but 60 read from the spools or unreadable",
    "read": "caller, whole call: 178 packets read from the spools, but 167 on the track or counted",
    "lost_by_network": "caller, whole call: 11 packets lost in all segments and gaps, but 0 lost",
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_changed_count_is_named_with_its_party_its_stretch_and_both_numbers(
    tmp_path_factory, name
):
    _, manifest = sealed(
        tmp_path_factory, [("talk", (50, None)), ("pause", ("page", 0.0)), ("resume", "page")]
    )
    first = stretches(manifest)[0]
    count = getattr(first.parties[0], name) + 11
    caller = msgspec.structs.replace(first.parties[0], **{name: count})
    changed = replace(first, parties=[caller, first.parties[1]])
    forged = msgspec.structs.replace(manifest, packets=[changed, *stretches(manifest)[1:]])
    problems = packet_problems(forged)
    assert any(CHANGES[name] in problem for problem in problems), problems
    assert all("advisor" not in problem for problem in problems)


def test_a_manifest_of_older_software_has_no_problems_and_no_silent_party(tmp_path_factory):
    _, manifest = sealed(tmp_path_factory, [])
    older = msgspec.structs.replace(manifest, packets=None)
    assert (packet_problems(older), silent_parties(older)) == ([], [])


def test_a_spool_of_older_software_gives_incomplete_counts(office):
    manifest = office.seal(office.simple()).manifest
    (stretch,) = stretches(manifest)
    assert not stretch.complete
    assert [(p.received, p.stored, p.read) for p in stretch.parties] == [(None, None, 200)] * 2
    assert packet_problems(manifest) == []


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)
FIELDS = st.dictionaries(
    st.sampled_from(["tracks", "track", "count", "reason", "class"]),
    VALUES
    | st.lists(
        st.dictionaries(st.sampled_from(["received", "stored", "dropped", "late_us"]), VALUES)
    ),
)
KINDS = st.sampled_from(["packets", "lost", "segment", "gap-start", "gap-end"])


# An example takes 0.1 s of CPU time.
@settings(max_examples=examples(40))
@given(st.lists(st.tuples(KINDS, st.integers(0, 10 * US), FIELDS), max_size=12))
def test_events_with_any_fields_give_a_ledger_that_a_manifest_can_store(events):
    ledger = PacketLedger()
    for kind, at_us, fields in events:
        ledger.event(at_us, kind, fields, [Progress(0, 0)] * 2)
        ledger.read_one(0, at_us)
    found = ledger.finish(10 * US, [Progress(0, 0)] * 2, interrupted=False)
    assert sum(stretch.parties[0].read for stretch in found) == len(events)
    encoded = msgspec.json.encode(found)
    assert msgspec.json.decode(encoded, type=list[PacketStretch]) == found
