"""Programs that ask for a secret, run on a terminal of their own and answered there."""

from __future__ import annotations

import contextlib
import os
import pty
import subprocess
import termios
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from tempfile import TemporaryFile

_PATIENCE = 60.0
CTRL_D = "\x04"


@dataclass(frozen=True, slots=True)
class Said:
    """What a program did: its status, its output, and what its terminal showed."""

    status: int
    out: bytes
    shown: str


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer to a prompt with this text. What is typed is hidden if `hidden` is true."""

    prompt: str
    text: str
    hidden: bool = True


def on_terminal(command, *answers, env=None) -> Said:
    """Run a program whose input and errors are a terminal; an answer to each "passphrase" it asks.

    An answer is typed when the program has switched the echo off: what is typed earlier may be
    thrown away. An `Answer` is for another prompt, which must differ from those before it.
    """
    master, slave = pty.openpty()
    shown: list[bytes] = []
    listener = threading.Thread(target=_listen, args=(master, shown))
    with TemporaryFile() as out:
        # A session of its own, so that /dev/tty is this terminal.
        words = ["setsid", "--ctty", "--wait", *map(str, command)]
        process = subprocess.Popen(words, stdin=slave, stdout=out, stderr=slave, env=env)
        listener.start()
        try:
            for place, answer in enumerate(answers, 1):
                if isinstance(answer, Answer):
                    prompted = partial(_has_prompts, shown, 1, answer.prompt)
                    typed, hidden = answer.text, answer.hidden
                else:
                    prompted = partial(_has_prompts, shown, place)
                    typed, hidden = answer, True
                if not _asked(process, slave, prompted, hidden=hidden):
                    break
                text = typed if typed == CTRL_D else f"{typed}\n"
                os.write(master, text.encode())
            status = process.wait(_PATIENCE)
        finally:
            process.kill()
            process.wait()
            os.close(slave)
            listener.join()
            os.close(master)
        out.seek(0)
        return Said(status, out.read(), b"".join(shown).decode(errors="replace"))


def _asked(
    process: subprocess.Popen, slave: int, prompted: Callable[[], bool], *, hidden: bool
) -> bool:
    """Wait until there is a prompt, and the echo is as it must be; False when the program ends."""
    limit = time.monotonic() + _PATIENCE
    while time.monotonic() < limit:
        if process.poll() is not None:
            return False
        if prompted() and bool(termios.tcgetattr(slave)[3] & termios.ECHO) != hidden:
            return True
        time.sleep(0.005)
    raise TimeoutError("the program asks for nothing")


def _has_prompts(shown: list[bytes], count: int, text: str = "passphrase") -> bool:
    return b"".join(shown).lower().count(text.lower().encode()) >= count


def _listen(master: int, shown: list[bytes]) -> None:
    with contextlib.suppress(OSError):  # how Linux says that nobody has the terminal any more
        while data := os.read(master, 4096):
            shown.append(data)
