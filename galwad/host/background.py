"""The tasks that run beside the desk's requests: loops that never end, and short pieces of work."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

import structlog

log = structlog.get_logger()


class BackgroundTasks:
    """Starts the desk's background tasks, and ends them when the desk stops."""

    def __init__(self) -> None:
        self._loops: list[asyncio.Task[None]] = []
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self, *loops: Coroutine[Any, Any, None]) -> None:
        """Start loops, which run until `cancel_loops`."""
        self._loops += [asyncio.create_task(loop) for loop in loops]

    async def cancel_loops(self) -> None:
        """Cancel all loops, and wait until each has ended."""
        for task in self._loops:
            task.cancel()
        await asyncio.gather(*self._loops, return_exceptions=True)

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Start `work` as a task. If `work` raises an error, the error is logged."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._finished)

    async def finishes_within(self, work: Coroutine[Any, Any, None], seconds: float) -> bool:
        """Start `work` as a task, and return whether it finished within `seconds`.

        If not, it continues in the background, and its error is neither raised nor logged.

        Raises:
            Exception: Any error that `work` raises before the time is over.
        """
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        await asyncio.wait({task}, timeout=seconds)
        if not task.done():
            task.add_done_callback(lambda late: late.cancelled() or late.exception())
            return False
        task.result()
        return True

    async def finish(self, seconds: float) -> None:
        """Wait at most `seconds` until all work is done; cancel what is not done by then."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=seconds)
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None:
            log.error("desk.task_failed", exc_info=error)
