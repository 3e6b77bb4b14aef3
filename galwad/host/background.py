"""The tasks that run beside the desk's requests: loops, and short pieces of work.

A loop runs until the desk stops. One piece of work writes the audit entry of an act that is done,
such as a pause (`audit_done`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import structlog

from recording.errors import AuditError

AUDIT_S = 2.0
"""The longest time in seconds that a request waits for its audit entry."""
_RETRY_S = 5.0
log = structlog.get_logger()


class BackgroundTasks:
    """Starts the desk's background tasks, and ends them when the desk stops."""

    def __init__(self) -> None:
        self._loops: list[asyncio.Task[None]] = []
        self.tasks: set[asyncio.Task[None]] = set()

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
        self.tasks.add(task)
        task.add_done_callback(self._finished)

    async def finishes_within(self, work: Coroutine[Any, Any, None], seconds: float) -> bool:
        """Start `work` as a task, and return whether it finished within `seconds`.

        An error within this time is raised. After this time, `work` continues in the background,
        and its error is neither raised nor logged.
        """
        task = asyncio.create_task(work)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)
        await asyncio.wait({task}, timeout=seconds)
        if not task.done():
            task.add_done_callback(lambda late: late.cancelled() or late.exception())
            return False
        task.result()
        return True

    async def finish(self, seconds: float) -> None:
        """Wait at most `seconds` until all work is done; cancel what is not done by then."""
        if self.tasks:
            await asyncio.wait(self.tasks, timeout=seconds)
        for task in tuple(self.tasks):
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)

    def _finished(self, task: asyncio.Task[None]) -> None:
        self.tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None:
            log.error("desk.task_failed", exc_info=error)


async def audit_done(
    background: BackgroundTasks,
    write: Callable[[], Awaitable[object]],
    *,
    refused: str,
    late: str,
    **facts: object,
) -> None:
    """Write an audit entry with `write`, which must give the entry the same time at each call.

    Return after the first attempt, or after `AUDIT_S` seconds. If the attempt raises an AuditError,
    a background task tries again every `_RETRY_S` seconds, so no request fails because of it.
    `refused` is the log event for a first attempt that raises an AuditError. `late` is the log
    event for one that takes longer than `AUDIT_S`. `facts` are the fields of these log events.
    """
    tried = asyncio.Event()

    async def until_it_is_written() -> None:
        while True:
            try:
                await write()
            except AuditError:
                if not tried.is_set():
                    log.warning(refused, **facts)
            else:
                return
            finally:
                tried.set()
            await asyncio.sleep(_RETRY_S)

    background.spawn(until_it_is_written())
    try:
        async with asyncio.timeout(AUDIT_S):
            await tried.wait()
    except TimeoutError:
        log.warning(late, **facts)
