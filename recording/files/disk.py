"""The disk with the spools, and a time limit for each job that uses it.

A *job* is a function that makes system calls on the disk's files. If the disk hangs (for example
while it is frozen for a snapshot), a job does not return and cannot be interrupted. The switch
relays all packets in one thread, which must not wait long. So a `WatchedDisk` runs the jobs in
another thread.
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
"""The seconds to wait for a job. A busy disk that works finishes nearly every job in this time."""
BACKOFF_S: Final = 2.0
"""The seconds for which a disk is not used after hanging, because it may soon hang again."""
_WAIT_PARTS: Final = 10
"""The number of short waits that make up the time limit.

If the whole process is stopped for a while, only the current wait times out. A single long wait
would time out although the disk does not hang.
"""
_THREADS: Final = 4


class Disk:
    """A disk that is assumed never to hang. Its jobs run in the caller's thread.

    Callers do long work, such as a sync, in `threads`; None means the event loop's executor.
    """

    threads: Executor | None = None

    @property
    def is_hanging(self) -> bool:
        """True while the disk is treated as hanging; `run` then raises TimeoutError immediately."""
        return False

    def run(self, job: Callable[[], T], undo: Callable[[T], object] | None = None) -> T:
        """Run `job` and return its result. Raises its error, or TimeoutError if the disk hangs.

        If `job` ends after a TimeoutError, `undo` gets its result before any other job runs.
        """
        del undo
        return job()

    def run_later(self, job: Callable[[], None]) -> None:
        """Run `job` after all earlier jobs. While the disk hangs, `job` waits."""
        job()


DIRECT_DISK: Final = Disk()


class WatchedDisk(Disk):
    """A disk that may hang. Its jobs run in the disk's own thread.

    When a job is not finished within `time_limit_s`, the disk is treated as hanging until
    `backoff_s` after it has finished this job. Only one thread may call `run`; a job may call it
    too.
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
        """Run `job` in the disk's thread. `undo`, result and errors are as in `Disk.run`."""
        if threading.current_thread() is self._thread:
            return job()
        if not self.is_hanging:
            asked = _Job(job, undo)
            if self._wait_for(asked):
                return asked.outcome()
        raise TimeoutError(errno.ETIMEDOUT, "the disk does not answer")

    def run_later(self, job: Callable[[], None]) -> None:
        """Run `job` in the disk's thread, after all earlier jobs, even if the disk hangs now.

        If the disk does not hang yet, wait for `job` until the time limit and raise its error. An
        error after the time limit is ignored.
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

        If it was not done, the disk counts as hanging from now on. With `give_up`, a job that has
        not started is then cancelled, and a running job is undone after its end.
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
    def __init__(self, work: Callable[[], T], undo: Callable[[T], object] | None) -> None:
        self.done = threading.Lock()
        self.done.acquire()
        self.decided = threading.Lock()
        """The first thread that acquires this lock decides whether the job is done or cancelled.

        The disk's thread tries when the job is done, and the waiting thread after the time limit.
        """
        self.ended = 0.0
        """Monotonic seconds at which the disk finished the job; 0 before that."""
        self._work = work
        self._undo = undo
        self._gave: T
        self._raised: BaseException | None = None

    def do(self) -> None:
        """Run the job, in the disk's thread."""
        # If `decided` is locked already, the job was cancelled.
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
        if self._raised is not None:
            raise self._raised
        return self._gave
