"""Controls Housing's phone in the demo: a process that uses another SIP library, pyVoIP 1.6.8."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from pathlib import Path

import numpy as np
from demo_report import Unseen
from demo_site import DEPARTMENT, HOST, Site
from demo_sound import Samples, clip

_PROGRAM = Path(__file__).with_name("demo_pyvoip.py")
_SENTENCE = "department-1"


class Housing:
    """The process of the phone; it answers by itself and says its sentence."""

    def __init__(self, site: Site, rtp_ports: tuple[int, int]) -> None:
        self._site = site
        self._ports = rtp_ports
        self._process: asyncio.subprocess.Process | None = None
        self._listening: asyncio.Task[None] | None = None
        self._news = asyncio.Condition()
        self._told: list[str] = []

    async def start(self) -> None:
        """Start the phone, and wait until it is registered.

        Raises:
            Unseen: It is not registered after 10 s.
        """
        sentence = self._site.folder / "housing.u8"
        sentence.write_bytes((clip(_SENTENCE) * 127 + 128).round().astype(np.uint8).tobytes())
        phone = (DEPARTMENT, self._site.housing_password, str(self._site.department_port))
        with (self._site.folder / "housing.log").open("wb") as log:
            # In its own session, it does not get Ctrl-C. The demo gets it, and stops the phone.
            self._process = await asyncio.create_subprocess_exec(
                *(sys.executable, _PROGRAM, HOST, str(self._site.sip_port)),
                *(*phone, *map(str, self._ports), str(sentence)),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
                start_new_session=True,
            )
        self._listening = asyncio.create_task(self._listen())
        await self.until("registered")

    async def stop(self) -> None:
        """Kill the process and wait for its end."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()
            await self._process.wait()
        if self._listening is not None:
            await self._listening

    async def until(self, word: str, seconds: float = 10) -> None:
        """Wait until the phone has reported this word.

        Raises:
            Unseen: It did not in time, or it has ended.
        """
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds), self._news:
                await self._news.wait_for(lambda: {word, "over"} & {*self._told})
        if word not in self._told:
            log = self._site.folder / "housing.log"
            raise Unseen(f"Housing's phone to have {word}", f"{self._told}, see {log}")

    async def heard(self) -> Samples:
        """Return the sound that the phone has heard, from -1 to 1, padded with silence."""
        file = self._site.folder / "housing.heard"
        if self._process is not None and self._process.stdin is not None:
            self._process.stdin.write(f"heard {file}\n".encode())
            await self._process.stdin.drain()
        await self.until("heard")
        found: Samples = (np.frombuffer(file.read_bytes(), np.uint8) - 128.0) / 128
        return found

    async def _listen(self) -> None:
        if self._process is None or self._process.stdout is None:
            return
        async for line in self._process.stdout:
            await self._tell(line.decode().strip())
        await self._tell("over")

    async def _tell(self, word: str) -> None:
        async with self._news:
            self._told.append(word)
            self._news.notify_all()
