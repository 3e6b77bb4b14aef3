"""Files of the switch are written in threads that a hanging disk cannot keep from ending."""

from __future__ import annotations

import subprocess
import sys
import threading

import pytest

from galwad.switch.call import appended_files
from galwad.switch.call.appended_files import append, read_file, write_at_end, write_later
from helpers.file_sizes import file_size_limit

HANGING = """
import asyncio, threading
from galwad.switch.call.appended_files import write_later

async def main():
    begun = threading.Event()
    def job():
        begun.set()
        threading.Event().wait()
    task = asyncio.create_task(write_later(job))
    await asyncio.to_thread(begun.wait)
    task.cancel()

asyncio.run(main())
print("ended")
"""


async def test_a_write_job_returns_its_result_or_raises_its_error():
    assert await write_later(lambda: 7) == 7
    with pytest.raises(FileNotFoundError):
        await write_later(lambda: open("/nowhere/file"))  # noqa: PTH123, SIM115 - it fails


def test_a_process_ends_while_its_disk_hangs():
    done = subprocess.run(
        [sys.executable, "-c", HANGING], capture_output=True, text=True, check=False, timeout=60
    )
    assert (done.stdout, done.stderr) == ("ended\n", "")


def test_writing_at_the_end_of_a_process_fails_within_a_limit_when_the_disk_hangs(monkeypatch):
    monkeypatch.setattr(appended_files, "_CLOSE_S", 0.01)
    works = threading.Event()
    with pytest.raises(OSError, match="the disk does not answer"):
        write_at_end(works.wait)
    works.set()


def test_an_error_at_the_end_of_a_process_is_raised(tmp_path):
    with pytest.raises(IsADirectoryError):
        write_at_end(lambda: append(tmp_path, b"line"))


def test_lines_that_cannot_be_written_whole_are_not_written(tmp_path):
    path = tmp_path / "file"
    append(path, b"\none")
    with file_size_limit(10), pytest.raises(OSError, match="File too large"):
        append(path, b"\ntwo, three and four")
    assert read_file(path) == b"\none"
