"""The disk under the spools, and the limit on how long the switch waits for it.

A disk that fails reports an error. A disk that hangs reports nothing: frozen for a snapshot, or
behind a lost path, it neither takes a write nor refuses it, and the caller waits in the kernel,
where nothing can wake it. The switch moves every call's packets in one thread, which must not wait
like that. So a `WatchedDisk` makes the system calls in a thread of its own.
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
"""Seconds that a disk may take for one job. A merely busy disk seldom takes as long."""
BACKOFF_S: Final = 2.0
"""Seconds for which a disk that hung is not used after it recovers: it may hang again."""
_WAIT_PARTS: Final = 10
"""The number of parts into which the wait of `TIME_LIMIT_S` is divided.

If the whole process is stopped for a while, only one part times out, not the whole wait.
"""
_THREADS: Final = 4


class Disk:
    """A disk that is trusted to answer: every job is done at once, in the caller's thread.

    Attributes:
        threads: The executor for long jobs such as a sync; None: the loop's own threads.
    """

    threads: Executor | None = None

    @property
    def is_hanging(self) -> bool:
        """True if the disk hangs, so that `run` refuses at once."""
        return False

    def run(self, job: Callable[[], T], undo: Callable[[T], object] | None = None) -> T:
        """Return the result of `job`; raise its error, or TimeoutError if the disk hangs.

        After a TimeoutError, either `job` is never run, or `undo` receives its late result before
        the disk does anything else.
        """
        del undo
        return job()

    def run_later(self, job: Callable[[], None]) -> None:
        """Run `job` after all earlier ones; if the disk hangs, when it recovers."""
        job()


DIRECT_DISK: Final = Disk()


class WatchedDisk(Disk):
    """A disk that may hang. It then counts as failed, and is not used for a while.

    Only one thread may call `run`. It waits `time_limit_s` at most, once for each time that the
    disk hangs. Jobs of `run_later` may themselves call `run`.

    Attributes:
        time_limit_s: The time limit in seconds for jobs from now on.
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
        """True from when the disk hangs until `backoff_s` seconds after it answers again."""
        last = self._given_up
        if last is not None and last.ended and time.monotonic() >= last.ended + self._backoff_s:
            self._given_up = None
        return self._given_up is not None

    def run(self, job: Callable[[], T], undo: Callable[[T], object] | None = None) -> T:
        """Do as `Disk.run`, but in the disk's thread."""
        if threading.current_thread() is self._thread:
            return job()
        if not self.is_hanging:
            asked = _Job(job, undo)
            if self._wait_for(asked):
                return asked.outcome()
        raise TimeoutError(errno.ETIMEDOUT, "the disk does not answer")

    def run_later(self, job: Callable[[], None]) -> None:
        """Do as `Disk.run_later`, but in the disk's thread.

        Raises the error of `job` if it fails within the time limit.
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
        """Return whether a job was done in time.

        If not, and `give_up` is set, the job counts as not done at all.
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
            job.done.acquire()  # it was completed just now
            self._given_up = None
            return True
        return False

    def _run_jobs(self) -> None:
        while True:
            self._jobs.get().do()


class _Job(Generic[T]):
    """One job for a disk."""

    def __init__(self, work: Callable[[], T], undo: Callable[[T], object] | None) -> None:
        self.done = threading.Lock()
        self.done.acquire()
        self.decided = threading.Lock()
        """The thread that acquires this lock decides: done in time, or given up."""
        self.ended = 0.0
        """When the disk finished the job, by the monotonic clock; 0: not yet."""
        self._work = work
        self._undo = undo
        self._gave: T
        self._raised: BaseException | None = None

    def do(self) -> None:
        """Run the job, in the disk's thread."""
        if not self.decided.locked():  # a job that was given up before it began is skipped
            try:
                self._gave = self._work()
            except BaseException as error:  # noqa: BLE001 - raised again in the asking thread
                self._raised = error
            in_time = self.decided.acquire(blocking=False)
            if not in_time and self._raised is None and self._undo is not None:
                with contextlib.suppress(OSError):
                    self._undo(self._gave)
        self.ended = time.monotonic()
        self.done.release()

    def outcome(self) -> T:
        """Return the job's result, or raise its error."""
        if self._raised is not None:
            raise self._raised
        return self._gave
