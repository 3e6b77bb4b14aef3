"""The desk's other work during the calls of load.py: sign-ins, list pages, fetches, exports."""

import asyncio
import contextlib
import itertools
import os
import statistics
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
from _site import PASSWORD, WHY, Site, fetch

SEARCHES: tuple[dict[str, Any], ...] = (
    {},
    {"when": "last month"},
    {"line": "Council Tax", "min_length_s": 600},
    {"gap_reason": "payment"},
    {"advisor": "advisor7", "max_length_s": 10},
)
_PAUSE_S = 0.1


@dataclass
class Beside:
    """Work of several kinds, each repeated, with the duration of each run in ms."""

    site: Site
    token: str
    users: Sequence[str]
    sealed: Sequence[str]
    took: dict[str, list[float]] = field(default_factory=dict)

    async def run(self, stop: asyncio.Event) -> None:
        """Do all the work until `stop` is set."""
        headers = {"Authorization": f"Bearer {self.token}"}
        async with (
            httpx2.AsyncClient(base_url=self.site.url, headers=headers, timeout=60) as client,
            asyncio.TaskGroup() as group,
        ):
            for kind, work in (
                ("sign-ins", self._sign_in),
                ("pages", self._page(client)),
                ("fetches", self._fetch),
                ("exports", self._export),
            ):
                group.create_task(self._repeat(kind, work, client, stop))

    def figures(self) -> dict[str, dict[str, float]]:
        """Return how often each kind ran, and its median and worst duration."""
        return {
            kind: {
                "times": len(took),
                "ms_median": round(statistics.median(took), 1),
                "ms_worst": round(max(took), 1),
            }
            for kind, took in self.took.items()
        }

    async def _repeat(
        self,
        kind: str,
        work: Callable[[httpx2.AsyncClient, int], Awaitable[None]],
        client: httpx2.AsyncClient,
        stop: asyncio.Event,
    ) -> None:
        took = self.took.setdefault(kind, [])
        for number in itertools.count():
            if stop.is_set():
                return
            begun = time.perf_counter()
            await work(client, number)
            took.append((time.perf_counter() - begun) * 1000)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), _PAUSE_S)

    async def _sign_in(self, client: httpx2.AsyncClient, number: int) -> None:
        who = {"user": self.users[number % len(self.users)], "password": PASSWORD}
        (await client.post("/api/v1/login", json={**who, "client": "cli"})).raise_for_status()

    @staticmethod
    def _page(_: httpx2.AsyncClient) -> Callable[[httpx2.AsyncClient, int], Awaitable[None]]:
        places: dict[int, str | None] = {}

        async def page(client: httpx2.AsyncClient, number: int) -> None:
            kind = number % len(SEARCHES)
            place = places.get(kind)
            body = {**SEARCHES[kind], **({"after": place} if place else {})}
            reply = await client.post("/api/v1/recordings/search", json=body)
            places[kind] = reply.raise_for_status().json()["after"]

        return page

    async def _fetch(self, client: httpx2.AsyncClient, number: int) -> None:
        await fetch(client, self.sealed[number % len(self.sealed)])

    async def _export(self, _: httpx2.AsyncClient, number: int) -> None:
        output = Path(self.site.folder) / f"export-{number}.wav"
        words = ["recordings", "fetch", self.sealed[number % len(self.sealed)]]
        words += ["--purpose", WHY["purpose"], "--reference", WHY["reference"]]
        words += ["--identity", str(self.site.identity_file), "-o", str(output)]
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "galwad", *words),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            env={**os.environ, "GALWAD_SERVER": self.site.url, "GALWAD_TOKEN": self.token},
        )
        if await process.wait() or not output.exists():
            raise SystemExit("an export failed")
        output.unlink()
