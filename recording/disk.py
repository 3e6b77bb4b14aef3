"""A disk under the spools, and how long the switch waits for it.

A disk that fails says so. One that hangs says nothing: frozen for a snapshot, or behind a path that
was lost, it neither takes a write nor refuses it, and who asked waits in the kernel, where nothing
can wake them. The switch moves every call's packets in one thread, which must not wait like that: a
`WatchedDisk` makes the system calls in a thread of its own.
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

PATIENCE_S: Final = 1.0
"""How long a disk may take for one thing. One that is merely busy seldom takes as long."""
REST_S: Final = 2.0
"""How long one that hung is left alone when it goes on: it may well hang again."""
_LOOKS: Final = 10
"""How often one looks in that time: while the whole process stands still, one of them passes."""
_THREADS: Final = 4


class Disk:
    """A disk that answers, as far as anybody cares: everything is done at once, by the asker.

    Attributes:
        threads: where long work for it is done, such as a sync; None: the loop's own threads.
    """

    threads: Executor | None = None

    @property
    def hangs(self) -> bool:
        """Whether it is asked nothing now."""
        return False

    def ask(self, job: Callable[[], T], undo: Callable[[T], object] | None = None) -> T:
        """What `job` gives; raises what it raises, and TimeoutError if the disk hangs.

        Then either nothing of it was done, or `undo` is given what came of it after all, before
        the disk does anything else.
        """
        del undo
        return job()

    def entrust(self, job: Callable[[], None]) -> None:
        """Have this done, after everything before it; if the disk hangs, when it goes on."""
        job()


TRUSTED: Final = Disk()


class WatchedDisk(Disk):
    """One that may hang: then it is taken for one that refuses, and asked nothing for a while.

    For one asking thread, which waits `patience_s` at the most, once for each time that the disk
    hangs; and for what is entrusted, which may ask further things itself.

    Attributes:
        patience_s: that, for what is asked from now on.
    """

    def __init__(self, *, patience_s: float = PATIENCE_S, rest_s: float = REST_S) -> None:
        self.patience_s = patience_s
        self._rest_s = rest_s
        self._jobs: SimpleQueue[_Job[Any]] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._given_up: _Job[Any] | None = None
        self.threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="disk")

    @property
    def hangs(self) -> bool:
        """Whether it hung, and has not gone on for a while."""
        last = self._given_up
        if last is not None and last.ended and time.monotonic() >= last.ended + self._rest_s:
            self._given_up = None
        return self._given_up is not None

    def ask(self, job: Callable[[], T], undo: Callable[[T], object] | None = None) -> T:
        """As `Disk.ask`, but in the disk's thread."""
        if threading.current_thread() is self._thread:
            return job()
        if not self.hangs:
            asked = _Job(job, undo)
            if self._wait_for(asked):
                return asked.outcome()
        raise TimeoutError(errno.ETIMEDOUT, "the disk does not answer")

    def entrust(self, job: Callable[[], None]) -> None:
        """As `Disk.entrust`, but in the disk's thread; raises what `job` raises if that is soon."""
        if threading.current_thread() is self._thread:
            job()
            return
        asked = _Job(job, None)
        if self.hangs:
            self._jobs.put(asked)
        elif self._wait_for(asked, give_up=False):
            asked.outcome()

    def _wait_for(self, job: "_Job[Any]", *, give_up: bool = True) -> bool:
        """Whether it was done in time. If not, and we give up, it counts as not done at all."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="disk", daemon=True)
            self._thread.start()
        self._jobs.put(job)
        for _ in range(_LOOKS):
            if job.done.acquire(timeout=self.patience_s / _LOOKS):
                return True
        self._given_up = job
        if give_up and not job.decided.acquire(blocking=False):
            job.done.acquire()  # it has just been done
            self._given_up = None
            return True
        return False

    def _run(self) -> None:
        while True:
            self._jobs.get().do()


class _Job(Generic[T]):
    """One thing that a disk is asked for."""

    def __init__(self, work: Callable[[], T], undo: Callable[[T], object] | None) -> None:
        self.done = threading.Lock()
        self.done.acquire()
        self.decided = threading.Lock()
        """Whoever takes it, decides: done in time, or given up."""
        self.ended = 0.0
        """When the disk was through with it, by the monotonic clock; 0: it is not."""
        self._work = work
        self._undo = undo
        self._gave: T
        self._raised: BaseException | None = None

    def do(self) -> None:
        """In the disk's thread."""
        if not self.decided.locked():  # nobody waits any more for what was not begun
            try:
                self._gave = self._work()
            except BaseException as error:  # noqa: BLE001 - it is raised where it was asked for
                self._raised = error
            in_time = self.decided.acquire(blocking=False)
            if not in_time and self._raised is None and self._undo is not None:
                with contextlib.suppress(OSError):
                    self._undo(self._gave)
        self.ended = time.monotonic()
        self.done.release()

    def outcome(self) -> T:
        """What came of it. Raises what it raised."""
        if self._raised is not None:
            raise self._raised
        return self._gave
