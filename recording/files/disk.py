"""The disk with the spools, and a time limit for each job that uses this disk.

A *job* is a function that makes system calls on files of the disk. If a disk fails, the system call
returns an error. If a disk hangs, the system call does not return, and the calling thread cannot be
interrupted. A disk hangs, for example, while it is frozen for a snapshot. The switch relays the
packets of all calls in one thread, and this thread must never wait for a disk that hangs. So a
`WatchedDisk` runs the jobs in a separate thread.
"""

import contextlib
import errno
import threading
import time
from collections.abc import Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from queue import SimpleQueue
from typing import Any, Final, Generic, TypeVar

T = TypeVar("T")

TIME_LIMIT_S: Final = 1.0
"""The time limit for a job, in seconds. If a job takes longer, the disk is treated as hanging.

A disk that works but is busy finishes nearly every job within this time.
"""
BACKOFF_S: Final = 2.0
"""The time in seconds for which a disk is not used after it has stopped hanging.

This wait is needed because the disk may soon hang again.
"""
_WAIT_PARTS: Final = 10
"""The number of short waits that together make up the time limit of a job.

If the whole process is stopped for a while, only the present short wait times out, and the job
still has the time of the next short waits. A single long wait would time out although the disk does
not hang.
"""
_THREADS: Final = 4


class Disk:
    """A disk that is assumed never to hang. Every job runs immediately, in the calling thread.

    The docstrings of the methods also describe the subclass `WatchedDisk`, whose disk may hang.

    Attributes:
        threads: The executor for long jobs such as a sync; None for the event loop's default
            executor.
    """

    threads: Executor | None = None

    @property
    def is_hanging(self) -> bool:
        """True while the disk is treated as hanging; `run` then raises TimeoutError immediately."""
        return False

    def run(self, job: Callable[[], T], undo: Callable[[T], object] | None = None) -> T:
        """Run `job` and return its result, or raise the error that `job` raised.

        The disk of a `WatchedDisk` may hang. `run` then raises TimeoutError. If `job` ends after
        this error, `undo` is called with the result of `job`, before any other job runs.

        Raises:
            TimeoutError: The disk hangs.
        """
        del undo
        return job()

    def run_later(self, job: Callable[[], None]) -> None:
        """Run `job` after all earlier jobs. If the disk hangs, `job` waits until the disk works."""
        job()


DIRECT_DISK: Final = Disk()


class WatchedDisk(Disk):
    """A disk that may hang. Its jobs run in the disk's own thread.

    When a job is not finished within the time limit, the disk is treated as hanging. The disk is
    used again `backoff_s` seconds after it has finished this job.

    Only one thread may call `run`; a job that was given to `run_later` may also call it. When the
    disk begins to hang, `run` raises an error after `time_limit_s` seconds. While the disk is
    treated as hanging, `run` raises an error immediately.

    Attributes:
        time_limit_s: The time limit in seconds for each job. A new value applies to the next job.
    """

    def __init__(self, *, time_limit_s: float = TIME_LIMIT_S, backoff_s: float = BACKOFF_S) -> None:
        self.time_limit_s = time_limit_s
        self._backoff_s = backoff_s
        self._jobs: SimpleQueue[_Job[Any]] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._given_up: _Job[Any] | None = None
        self.threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="disk")

    @property
    def is_hanging(self) -> bool:
        """True while the disk hangs, and for `backoff_s` seconds after it has stopped hanging."""
        last = self._given_up
        if last is not None and last.ended and time.monotonic() >= last.ended + self._backoff_s:
            self._given_up = None
        return self._given_up is not None

    def run(self, job: Callable[[], T], undo: Callable[[T], object] | None = None) -> T:
        """Run `job` in the disk's thread, and return its result or raise its error.

        If the disk hangs, raise `TimeoutError`. If `job` ends after this error, `undo` is called
        with the result of `job`.
        """
        if threading.current_thread() is self._thread:
            return job()
        if not self.is_hanging:
            asked = _Job(job, undo)
            if self._wait_for(asked):
                return asked.outcome()
        raise TimeoutError(errno.ETIMEDOUT, "the disk does not answer")

    def run_later(self, job: Callable[[], None]) -> None:
        """Run `job` in the disk's thread, after all earlier jobs, even if the disk hangs now.

        This method waits for `job` until the time limit, but not if the disk hangs already. If
        `job` raises an error during this wait, the error is raised here. A later error is ignored.
        """
        if threading.current_thread() is self._thread:
            job()
            return
        asked = _Job(job, None)
        if self.is_hanging:
            self._jobs.put(asked)
        elif self._wait_for(asked, give_up=False):
            asked.outcome()

    def _wait_for(self, job: "_Job[Any]", *, give_up: bool = True) -> bool:
        """Give a job to the disk's thread, and return whether it was done within the time limit.

        If the job was not done in time, the disk is treated as hanging from now on. If `give_up` is
        True, the job is also cancelled: a job that has not started is not run, and a job that has
        started is undone after its end.
        """
        if self._thread is None:
            self._thread = threading.Thread(target=self._run_jobs, name="disk", daemon=True)
            self._thread.start()
        self._jobs.put(job)
        for _ in range(_WAIT_PARTS):
            if job.done.acquire(timeout=self.time_limit_s / _WAIT_PARTS):
                return True
        self._given_up = job
        if give_up and not job.decided.acquire(blocking=False):
            # The disk's thread acquired `decided` first, so the job was done just in time.
            job.done.acquire()
            self._given_up = None
            return True
        return False

    def _run_jobs(self) -> None:
        while True:
            self._jobs.get().do()


class _Job(Generic[T]):
    """One job that is given to the disk's thread, with its result or error."""

    def __init__(self, work: Callable[[], T], undo: Callable[[T], object] | None) -> None:
        self.done = threading.Lock()
        self.done.acquire()
        self.decided = threading.Lock()
        """The lock that decides whether the job was done in time or is cancelled.

        The disk's thread tries to acquire the lock when the job is done. The waiting thread tries
        to acquire it after the time limit, to cancel the job. Only the first of them succeeds,
        because the lock is never released.
        """
        self.ended = 0.0
        """The time in monotonic seconds at which the disk finished the job; 0 before that."""
        self._work = work
        self._undo = undo
        self._gave: T
        self._raised: BaseException | None = None

    def do(self) -> None:
        """Run the job. The disk's thread calls this method."""
        # If `decided` is locked already, the job was cancelled, so it is not run.
        if not self.decided.locked():
            try:
                self._gave = self._work()
            except BaseException as error:  # noqa: BLE001 - raised again in the waiting thread
                self._raised = error
            in_time = self.decided.acquire(blocking=False)
            if not in_time and self._raised is None and self._undo is not None:
                with contextlib.suppress(OSError):
                    self._undo(self._gave)
        self.ended = time.monotonic()
        self.done.release()

    def outcome(self) -> T:
        """Return the result of the job, or raise the error that the job raised."""
        if self._raised is not None:
            raise self._raised
        return self._gave
