"""The advisor's browser, played through the HTTP API: signs in, watches, confirms, pauses."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Callable
from typing import Any

import httpx2
from demo_report import expect

Pop = dict[str, Any]


class Page:
    """A signed-in page; `pops` are the calls that its event stream shows now."""

    def __init__(self, url: str) -> None:
        self._client = httpx2.AsyncClient(
            base_url=f"{url}/api/v1",
            headers={"Origin": url},
            timeout=httpx2.Timeout(10),
            trust_env=False,  # no proxy: the desk is on this machine
        )
        self._stream: asyncio.Task[None] | None = None
        self._news = asyncio.Condition()
        self.pops: dict[str, Pop] = {}
        self.history: list[Pop] = []

    async def sign_in(self, user: str, password: str) -> None:
        """Sign in, and open the event stream."""
        answer = await self._client.post("login", json={"user": user, "password": password})
        expect(answer.status_code == 200, "to be signed in", answer.text)
        self._stream = asyncio.create_task(self._watch())

    async def close(self) -> None:
        """Close the page."""
        if self._stream is not None:
            self._stream.cancel()
            with contextlib.suppress(asyncio.CancelledError, httpx2.HTTPError):
                await self._stream
        await self._client.aclose()

    async def until(self, holds: Callable[[Pop], bool], seconds: float = 5) -> Pop:
        """Return the first pop for which `holds` returns True.

        Raises:
            TimeoutError: There was none in time.
        """
        async with asyncio.timeout(seconds), self._news:
            while True:
                found = next((pop for pop in self.pops.values() if holds(pop)), None)
                if found is not None:
                    return found
                await self._news.wait()

    async def ask(self, method: str, path: str, body: object = None) -> Any:
        """Send a request to the API; return the answer."""
        answer = await self._client.request(method, path, json=body)
        expect(answer.is_success, f"{method} {path} to be accepted", answer.text)
        return answer.json()

    async def _watch(self) -> None:
        async with self._client.stream("GET", "events", timeout=None) as answer:
            kind = ""
            async for line in answer.aiter_lines():
                if line.startswith("event:"):
                    kind = line[6:].strip()
                elif line.startswith("data:"):
                    await self._take(kind, json.loads(line[5:]))

    async def _take(self, kind: str, data: dict[str, Any]) -> None:
        async with self._news:
            if kind == "snapshot":
                self.pops = {pop["call_id"]: pop for pop in data["calls"]}
            elif kind == "call":
                self.pops[data["call_id"]] = data
                self.history.append(data)
            elif kind == "closed":
                self.pops.pop(data["call_id"], None)
            self._news.notify_all()
