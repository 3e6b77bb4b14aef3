"""The finaliser: it seals what is closed, tells the desk until it listens, deletes no more."""

import asyncio
import base64
import contextlib
import os
import signal
import struct
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import pytest

from config.settings import Settings, load
from galwad import link
from galwad.finaliser.process import Finaliser, folders_of, workshop_of
from galwad.finaliser.workshop import Workshop
from galwad.messages import Alarm, AnyMessage, Hello, Indexed, Sealed, SpoolClosed
from recording import archive as archive_module
from recording.following import Following
from recording.keys import OfficerKeys, RecipientSet, load_or_create_boot_key
from recording.spool import Clock, SpoolWriter
from recording.verify import verify_recording

FIRST = "20260301-090000-abcdefgh"
SECOND = "20260301-090500-bcdefghi"
NUMBER = "+442079460123"


@dataclass
class Site:
    """A node's folders, with an officer's keys that the server never sees."""

    root: Path
    officer: OfficerKeys = field(default_factory=OfficerKeys.generate)

    def __post_init__(self) -> None:
        (self.root / "state" / "spool").mkdir(parents=True)
        (self.root / "state" / "keys").mkdir()
        (self.root / "run").mkdir()
        self.boot_key = load_or_create_boot_key(self.root / "run" / "boot.key")
        self.config = self.root / "galwad.toml"
        self.config.write_text(
            f'[node]\nstate = "{self.root}/state"\nruntime = "{self.root}/run"\n'
            '[sip]\nlisten = ["udp:127.0.0.1:0"]\n'
            f'[recording]\nofficer_key = "{self.officer.public_key}"\n'
        )
        self.sign()

    def sign(self) -> None:
        named = [("Officer", self.officer.identity.recipient)]
        self.recipients.write_bytes(RecipientSet.of(named, 1).sign(self.officer.signing))

    @property
    def settings(self) -> Settings:
        return load(self.config)

    @property
    def recipients(self) -> Path:
        return self.root / "state" / "keys" / "recipients.json"

    @property
    def spool(self) -> Path:
        return self.root / "state" / "spool"

    def writer(self, call_id: str, life: int = 1) -> SpoolWriter:
        keys = self.root / "run" / "spool-keys"
        clock = Clock(1_772_355_600.0, 0.0)
        return SpoolWriter.create(self.spool, keys, call_id, life, self.boot_key, None, clock)

    def call(self, call_id: str, seconds: int = 2) -> Path:
        writer = self.writer(call_id)
        writer.event("call", {"number": NUMBER, "withheld": False, "line": "main"}, 0)
        writer.event("answered", {"advisor": "sian", "extension": "201"}, 0)
        writer.event("segment", {"class": "centre", "to": ""}, 0)
        for index in range(seconds * 50):
            for track in (0, 1):
                head = struct.pack("!BBHII", 0x80, 8, index, index * 160, track)
                writer.packet(track, index * 20_000, head + bytes(160))
        writer.event("ended", {"cause": "bye"}, seconds * 1_000_000)
        writer.close(seconds * 1_000_000)
        return writer.path

    def whole(self, call_id: str) -> bool:
        folder = self.root / "state" / "archive" / "2026" / "03" / "01"
        public = (folder.parents[2] / "galwad.pub").read_text().strip()
        identities = [self.officer.identity]
        return verify_recording(folder, call_id, public_key=public, identities=identities).whole


@pytest.fixture
def site(tmp_path) -> Site:
    return Site(tmp_path)


@dataclass
class Peer:
    """A switch or a desk: what it heard, and how it answers."""

    path: Path
    index: bool = False
    heard: asyncio.Queue[AnyMessage] = field(default_factory=asyncio.Queue)
    links: list[link.Link] = field(default_factory=list)

    async def __aenter__(self) -> Self:
        self.server = await link.serve(self.path, self.on_message)
        return self

    async def __aexit__(self, *_: object) -> None:
        self.server.close()
        for peer in self.links:
            await peer.close()
        await self.server.wait_closed()

    async def on_message(self, peer: link.Link, message: AnyMessage) -> None:
        if peer not in self.links:
            self.links.append(peer)
        if self.index and isinstance(message, Sealed):
            peer.send(Indexed(message.call_id))
        await self.heard.put(message)

    async def next(self, kind: type) -> AnyMessage:
        async with asyncio.timeout(10):
            while not isinstance(message := await self.heard.get(), kind):
                pass
            return message


@contextlib.asynccontextmanager
async def running(
    site: Site,
    look_round_s: float = 30.0,
    workshop: Workshop | None = None,
    follow_s: float = 2.0,
    last_word_s: float = 0.05,
):
    settings = site.settings
    finaliser = Finaliser(
        workshop or workshop_of(settings), settings, look_round_s, follow_s, last_word_s
    )
    task = asyncio.create_task(finaliser.run())
    try:
        yield finaliser
    finally:
        finaliser.stop()
        await task


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not true():  # noqa: ASYNC110 - a folder tells nobody that it changed
            await asyncio.sleep(0.01)


async def gone(path: Path) -> None:
    await until(lambda: not path.exists())


def desk(site: Site, *, index: bool = True) -> Peer:
    return Peer(site.root / "run" / "desk.sock", index=index)


async def test_what_was_left_is_found_sealed_indexed_and_only_then_unlinked(site):
    path = site.call(FIRST)
    async with desk(site, index=False) as peer, running(site):
        assert (await peer.next(Hello)).role == "finaliser"
        sealed = await peer.next(Sealed)
        assert (sealed.call_id, sealed.folder, sealed.talk_us) == (FIRST, "2026/03/01", 2_000_000)
        assert (sealed.number, sealed.line, sealed.advisor) == (NUMBER, "main", "sian")
        assert path.exists()
        peer.links[0].send(Indexed(FIRST))
        await gone(path)
    assert site.whole(FIRST)


async def test_a_short_call_does_not_wait_for_the_long_ones_before_it(site):
    site.call(FIRST, seconds=8)
    site.call(SECOND, seconds=2)
    async with desk(site) as peer, running(site):
        assert [(await peer.next(Sealed)).call_id for _ in range(2)] == [SECOND, FIRST]


async def test_the_switch_says_that_a_spool_is_closed(site):
    async with Peer(site.root / "run" / "switch.sock") as switch, desk(site) as peer, running(site):
        assert (await switch.next(Hello)).role == "finaliser"
        path = site.call(FIRST)
        switch.links[0].send(SpoolClosed(FIRST))
        assert (await peer.next(Sealed)).call_id == FIRST
        await gone(path)


async def test_a_desk_that_is_down_delays_the_index_and_nothing_else(site):
    paths = [site.call(FIRST), site.call(SECOND)]
    async with running(site):
        manifest = site.root / "state" / "archive" / "2026" / "03" / "01" / f"{SECOND}.manifest"
        await until(manifest.exists)
        assert all(path.exists() for path in paths)
        async with desk(site) as peer:
            told = {(await peer.next(Sealed)).call_id for _ in range(2)}
            assert told == {FIRST, SECOND}
            for path in paths:
                await gone(path)


async def test_a_restart_between_sealing_and_indexing_loses_nothing(site):
    path = site.call(FIRST)
    async with desk(site, index=False) as peer, running(site):
        first = await peer.next(Sealed)
    async with desk(site) as peer, running(site):
        assert await peer.next(Sealed) == first
        await gone(path)


async def test_what_has_ended_is_sealed_and_indexed_before_it_stops(site):
    async with desk(site) as peer:
        async with running(site, last_word_s=10.0):
            await peer.next(Hello)
            live = site.writer("20260301-091000-cdefghij")
            paths = [site.call(FIRST), site.call(SECOND)]
        assert not any(path.exists() for path in paths)
    assert site.whole(FIRST)
    assert site.whole(SECOND)
    assert live.path.exists()
    live.abandon()


async def test_it_stops_after_the_call_in_hand_when_it_is_told_twice(site):
    calls = [f"20260301-09{minute}00-abcdefgh" for minute in range(10, 16)]
    paths = [site.call(call_id) for call_id in calls]
    async with desk(site), running(site, last_word_s=10.0) as finaliser:
        finaliser.stop()
        finaliser.stop()
    assert sum(path.exists() for path in paths) >= len(paths) - 1


async def test_a_live_spool_is_left_alone_and_an_abandoned_one_is_sealed(site):
    live = site.writer(FIRST)
    live.event("answered", {"advisor": "sian", "extension": "201"}, 0)
    other = site.call(SECOND)
    async with desk(site) as peer, running(site, look_round_s=0.05):
        assert (await peer.next(Sealed)).call_id == SECOND
        await gone(other)
        live.abandon()
        sealed = await peer.next(Sealed)
        assert (sealed.call_id, sealed.interrupted) == (FIRST, True)
        assert (await peer.next(Alarm)).kind == "recording.interrupted"
        await gone(live.path)


async def test_a_spool_of_another_boot_stays_and_is_reported_once(site):
    path = site.call(FIRST)
    (site.root / "run" / "boot.key").write_bytes(os.urandom(32))
    async with desk(site) as peer, running(site, look_round_s=0.02):
        alarm = await peer.next(Alarm)
        assert (alarm.kind, alarm.call_id) == ("recording.locked", FIRST)
        await asyncio.sleep(0.1)
        assert peer.heard.empty()
    assert path.exists()


async def test_recipients_that_nobody_signed_seal_nothing_until_they_are(site):
    path = site.call(FIRST)
    good = site.recipients.read_bytes()
    site.recipients.write_bytes(good.replace(b'"serial": 1', b'"serial": 2'))
    async with desk(site) as peer, running(site, look_round_s=0.05):
        assert (await peer.next(Alarm)).kind == "recording.no_recipients"
        assert path.exists()
        site.recipients.write_bytes(good)
        assert (await peer.next(Sealed)).call_id == FIRST
        await gone(path)


async def test_rubbish_in_the_spool_folder_is_reported_and_stays(site):
    rubbish = site.spool / f"{FIRST}.1.spool"
    rubbish.write_bytes(os.urandom(3000))
    (site.spool / "notes.txt").write_text("hello")
    good = site.call(SECOND)
    async with desk(site) as peer, running(site):
        assert (await peer.next(Alarm)).kind == "recording.not_sealed"
        await gone(good)
    assert rubbish.exists()


async def test_only_the_spools_of_the_recording_go_when_it_is_indexed(site):
    path = site.call(FIRST)
    async with desk(site, index=False) as peer, running(site):
        await peer.next(Sealed)
        late = site.writer(FIRST, life=2)
        late.close(0)
        peer.links[0].send(Indexed(FIRST))
        await gone(path)
    assert late.path.exists()


class WatchedWorkshop(Workshop):
    """Takes its time: the folder is looked at twice while it seals, and while it unlinks."""

    looks = 0
    sealed: tuple[str, ...] = ()

    def closed(self) -> list[str]:
        found = super().closed()
        self.looks += 1
        return found

    def seal(self, call_id: str) -> Sealed | Alarm | None:
        if self.spools(call_id):
            self.sealed += (call_id,)
        self._two_looks()
        return super().seal(call_id)

    def forget(self, call_id: str) -> None:
        self._two_looks()
        super().forget(call_id)

    def _two_looks(self) -> None:
        wanted = self.looks + 2
        while self.looks < wanted:
            time.sleep(0.002)


async def test_a_call_that_is_being_sealed_or_unlinked_is_not_sealed_again(site):
    settings = site.settings
    workshop = WatchedWorkshop(folders_of(settings), "galwad", "test", site.officer.public_key)
    path = site.call(FIRST)
    async with desk(site), running(site, 0.005, workshop):
        await gone(path)
        await gone(site.call(SECOND))
    assert workshop.sealed == (FIRST, SECOND)


def talk(writer: SpoolWriter, from_s: int, to_s: int) -> None:
    for index in range(from_s * 50, to_s * 50):
        for track in (0, 1):
            head = struct.pack("!BBHII", 0x80, 8, index & 0xFFFF, index * 160, track)
            writer.packet(track, index * 20_000, head + os.urandom(160))
        if index % 50 == 49:
            writer.tick((index + 1) * 20_000)


def part(site: Site, call_id: str) -> Path:
    return site.root / "state" / "archive" / "2026" / "03" / "01" / f".{call_id}.payload.part"


@pytest.fixture
def straight(monkeypatch):
    """The calls that were read from their beginning at their end."""
    calls = []
    real = archive_module.write_sound

    def noted(fd, spools, keys, call_id):
        calls.append(call_id)
        return real(fd, spools, keys, call_id)

    monkeypatch.setattr(archive_module, "write_sound", noted)
    return calls


async def followed(site: Site, call_id: str) -> None:
    """Until most of its first minute is sealed."""
    path = part(site, call_id)
    await until(lambda: path.exists() and path.stat().st_size > 1_000_000)


async def test_a_call_is_sealed_while_it_goes_on(site, straight):
    writer = site.writer(FIRST)
    writer.event("answered", {"advisor": "sian", "extension": "201"}, 0)
    writer.event("segment", {"class": "centre", "to": ""}, 0)
    talk(writer, 0, 60)
    async with desk(site) as peer, running(site, follow_s=0.01, look_round_s=0.05):
        await followed(site, FIRST)
        talk(writer, 60, 62)
        writer.event("ended", {"cause": "bye"}, 62_000_000)
        writer.close(62_000_000)
        sealed = await peer.next(Sealed)
        assert (sealed.talk_us, sealed.interrupted) == (62_000_000, False)
        await gone(writer.path)
    assert site.whole(FIRST)
    assert not straight


async def test_what_was_followed_goes_when_the_finaliser_stops(site):
    writer = site.writer(FIRST)
    talk(writer, 0, 60)
    async with running(site, follow_s=0.01):
        await followed(site, FIRST)
    assert not part(site, FIRST).exists()
    async with running(site, follow_s=0.01):
        await followed(site, FIRST)
    writer.abandon()


async def test_a_followed_call_whose_writer_dies_is_sealed_from_its_spool(site, straight):
    writer = site.writer(FIRST)
    talk(writer, 0, 60)
    async with desk(site) as peer, running(site, follow_s=0.01, look_round_s=0.05):
        await followed(site, FIRST)
        writer.abandon()
        assert (await peer.next(Sealed)).interrupted
        await gone(writer.path)
    assert straight == [FIRST]
    assert site.whole(FIRST)


async def test_a_followed_call_that_begins_another_life_is_let_go(site, straight):
    first = site.writer(FIRST)
    talk(first, 0, 60)
    async with desk(site) as peer, running(site, follow_s=0.01, look_round_s=0.05):
        await followed(site, FIRST)
        second = site.writer(FIRST, life=2)
        first.abandon()
        talk(second, 0, 60)
        await gone(part(site, FIRST))
        second.close(60_000_000)
        await peer.next(Sealed)
        await gone(second.path)
    assert straight
    assert site.whole(FIRST)


async def test_a_call_that_cannot_be_followed_keeps_no_other_from_it(site, monkeypatch):
    strange, usual = site.writer(FIRST), site.writer(SECOND)
    real = Following.step

    def strangely(following, frames):
        if FIRST in following.spool.name:
            raise ZeroDivisionError
        return real(following, frames)

    monkeypatch.setattr(Following, "step", strangely)
    for writer in (strange, usual):
        talk(writer, 0, 60)
    async with desk(site) as peer, running(site, follow_s=0.01, look_round_s=0.05):
        await followed(site, SECOND)
        assert not part(site, FIRST).exists()
        for writer in (strange, usual):
            writer.close(60_000_000)
        assert {(await peer.next(Sealed)).call_id for _ in range(2)} == {FIRST, SECOND}
    assert site.whole(FIRST)


def test_following_stops_after_each_slice_when_that_is_enough(site):
    writers = [site.writer(call_id) for call_id in (FIRST, SECOND)]
    for writer in writers:
        talk(writer, 0, 200)
    workshop = workshop_of(site.settings)
    sizes = set()
    for _ in range(40):
        workshop.follow(lambda: True)
        found = [part(site, call_id) for call_id in (FIRST, SECOND)]
        sizes.add(tuple(path.stat().st_size if path.exists() else 0 for path in found))
    whole = max(sizes)
    assert min(whole) > 4_000_000  # nearly all of it
    assert {(16, 0), (0, 16)} & sizes  # begun
    assert any(0 < abs(one - other) < 2_000_000 for one, other in sizes - {whole})  # by turns
    assert len(sizes) >= 8
    workshop.let_go()
    for writer in writers:
        writer.abandon()


async def test_a_call_that_ends_does_not_wait_for_those_that_are_followed(site):
    live = [site.writer(call_id) for call_id in (FIRST, SECOND)]
    for writer in live:
        talk(writer, 0, 300)
    ended = "20260301-091000-cdefghij"
    async with desk(site) as peer, running(site, follow_s=0.01, look_round_s=0.02):
        await until(part(site, FIRST).exists)
        path = site.call(ended)
        assert (await peer.next(Sealed)).call_id == ended
        await gone(path)
    for writer in live:
        writer.abandon()


async def test_as_a_process_it_is_killed_while_it_follows_and_nothing_is_lost(site):
    writer = site.writer(FIRST)
    writer.event("answered", {"advisor": "sian", "extension": "201"}, 0)
    writer.event("segment", {"class": "centre", "to": ""}, 0)
    talk(writer, 0, 60)
    command = [sys.executable, "-m", "galwad", "serve", "--only", "finaliser", "--json"]
    async with desk(site) as peer:
        for ending in (signal.SIGKILL, signal.SIGTERM):
            process = await asyncio.create_subprocess_exec(
                *command, "--config", site.config, stderr=asyncio.subprocess.PIPE
            )
            await followed(site, FIRST)
            if ending == signal.SIGTERM:
                writer.event("ended", {"cause": "bye"}, 60_000_000)
                writer.close(60_000_000)
            process.send_signal(ending)
            await asyncio.wait_for(process.communicate(), 20)
            if ending == signal.SIGKILL:
                os.truncate(part(site, FIRST), 1000)  # it is there, and shorter than the next
        sealed = await peer.next(Sealed)
    assert (sealed.talk_us, sealed.interrupted) == (60_000_000, False)
    assert not writer.path.exists()
    assert not part(site, FIRST).exists()
    assert site.whole(FIRST)


async def test_as_a_process_it_leaves_no_core_logs_no_number_and_ends_on_sigterm(site):
    path = site.call(FIRST)
    command = [sys.executable, "-m", "galwad", "serve", "--only", "finaliser", "--json"]
    async with desk(site) as peer:
        process = await asyncio.create_subprocess_exec(
            *command, "--config", site.config, stderr=asyncio.subprocess.PIPE
        )
        await peer.next(Sealed)
        await gone(path)
        limits = await asyncio.to_thread(Path(f"/proc/{process.pid}/limits").read_text)
        assert next(line for line in limits.splitlines() if "core" in line).split()[4] == "0"
        process.send_signal(signal.SIGTERM)
        _, log = await asyncio.wait_for(process.communicate(), 10)
    assert process.returncode == 0
    assert b"recording.sealed" in log
    for text in (NUMBER.encode(), b"79460123", base64.b64encode(NUMBER.encode())):
        assert text not in log
    assert site.whole(FIRST)
