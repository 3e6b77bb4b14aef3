"""A node's folders, the finaliser at work in them, and peers that hear what it says."""

import asyncio
import contextlib
import struct
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from galwad import link
from galwad.finaliser.process import Finaliser, sealer_of
from galwad.finaliser.sealer import Sealer
from galwad.finaliser.worker import Worker
from galwad.messages import AnyMessage, Indexed, Sealed
from galwad.settings import Settings, load
from recording.age.file import encrypt_small
from recording.archive.verify import verify_recording
from recording.keys.keyring import OfficerKeys, RecipientSet, load_or_create_boot_key
from recording.spool import Clock, SpoolWriter

NUMBER = "+442079460123"
LATER_US = 500_000


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
        async with asyncio.timeout(60):
            while not isinstance(message := await self.heard.get(), kind):
                pass
            return message


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
            '[[retention]]\ncategory = "general"\nkeep = "by hand"\n'
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
        recipients = [self.officer.identity.recipient]
        return SpoolWriter.create(
            self.spool,
            keys,
            call_id,
            life,
            self.boot_key,
            lambda key: encrypt_small(key, recipients),
            clock,
        )

    def call(self, call_id: str, seconds: int = 2, later_caller: str = "") -> Path:
        writer = self.writer(call_id)
        writer.event("call", {"number": NUMBER, "withheld": False, "line": "main"}, 0)
        writer.event("answered", {"advisor": "sian", "extension": "201"}, 0)
        writer.event("segment", {"class": "centre", "to": ""}, 0)
        if later_caller:
            writer.event("caller", {"number": later_caller, "withheld": False}, LATER_US)
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
        verdict = verify_recording(folder, call_id, node_keys=[public], identities=identities)
        return not verdict.problems

    def desk(self, *, index: bool = True) -> Peer:
        return Peer(self.root / "run" / "desk.sock", index=index)

    def switch(self) -> Peer:
        return Peer(self.root / "run" / "switch.sock")

    @contextlib.asynccontextmanager
    async def running(
        self,
        look_round_s: float = 30.0,
        sealer: Sealer | None = None,
        follow_s: float = 2.0,
        index_wait_s: float = 0.05,
    ) -> AsyncIterator[Finaliser]:
        settings = self.settings
        sealer = sealer or sealer_of(settings)
        workers = [Worker(sealer)]
        finaliser = Finaliser(
            sealer,
            settings,
            workers,
            look_round_s=look_round_s,
            follow_s=follow_s,
            index_wait_s=index_wait_s,
        )
        task = asyncio.create_task(finaliser.run())
        try:
            yield finaliser
        finally:
            finaliser.stop()
            await task

    @staticmethod
    async def until(true: Callable[[], bool]) -> None:
        async with asyncio.timeout(60):
            while not true():  # noqa: ASYNC110 - a folder tells nobody that it changed
                await asyncio.sleep(0.01)

    async def gone(self, path: Path) -> None:
        await self.until(lambda: not path.exists())
