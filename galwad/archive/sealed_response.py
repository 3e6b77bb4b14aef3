"""The HTTP response with a sealed recording: first the header of the age file, then its payload."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from galwad.archive.files import SealedFiles

_READERS: Final = ThreadPoolExecutor(40, "sealed")
"""The threads that read recordings. If the archive's disk hangs, no other work waits for them."""


class SealedResponse(Response):
    """Sends the two parts of an age file, and closes the payload's file.

    A thread reads the blocks: Starlette's streaming response needs several times the CPU time.
    """

    def __init__(self, files: SealedFiles, headers: Mapping[str, str]) -> None:
        self._files = files
        self.status_code = 200
        self.media_type = "application/octet-stream"
        self.background = None
        self.init_headers({"Content-Length": str(files.length), **headers})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the response."""
        del scope
        gone = asyncio.create_task(_disconnected(receive))
        loop, blocks, left = asyncio.get_running_loop(), self._files.stream(), self._files.length
        try:
            await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
            while left and not gone.done():
                block = await loop.run_in_executor(_READERS, _next, blocks)
                left = max(left - len(block), 0) if block else 0
                await send({"type": "http.response.body", "body": block, "more_body": left > 0})
        finally:
            gone.cancel()
            # A thread may still read if this task was cancelled. The file's lock lets it finish.
            loop.run_in_executor(_READERS, self._files.close)


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def _next(blocks: Iterator[bytes]) -> bytes:
    return next(blocks, b"")
