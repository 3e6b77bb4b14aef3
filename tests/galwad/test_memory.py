"""The processes of the service write no core dump, however they end."""

import errno
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

PR_GET_DUMPABLE = 3
ASKED = f"""
import ctypes, resource
from galwad.process_start import forbid_core_dumps
print(ctypes.CDLL(None).prctl({PR_GET_DUMPABLE}), resource.getrlimit(resource.RLIMIT_CORE))
forbid_core_dumps()
print(ctypes.CDLL(None).prctl({PR_GET_DUMPABLE}), resource.getrlimit(resource.RLIMIT_CORE))
"""


def dumps_allowed():
    hard = resource.getrlimit(resource.RLIMIT_CORE)[1]
    resource.setrlimit(resource.RLIMIT_CORE, (hard, hard))


def test_a_process_can_switch_off_its_core_dumps():
    command = [sys.executable, "-c", ASKED]
    before, after = subprocess.check_output(command, text=True).splitlines()
    assert before.startswith("1 ")
    assert after == "0 (0, 0)"


def opened_by(process, pipe):
    """Open a pipe for writing as soon as the process reads it; fail if the process ends first."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        assert process.poll() is None, "the process ended before it read its settings"
        try:
            return os.open(pipe, os.O_WRONLY | os.O_NONBLOCK)
        except OSError as error:
            if error.errno != errno.ENXIO:  # ENXIO: no process reads it yet
                raise
            time.sleep(0.02)
    pytest.fail("the process did not read its settings")


@pytest.mark.parametrize("only", [["--only", name] for name in ("switch", "desk", "finaliser")])
def test_each_process_switches_off_core_dumps_before_it_reads_its_settings(tmp_path, only):
    config = tmp_path / "galwad.toml"
    os.mkfifo(config)
    process = subprocess.Popen(
        [sys.executable, "-m", "galwad", "serve", *only, "--config", str(config)],
        preexec_fn=dumps_allowed,  # noqa: PLW1509 - no thread of the tests holds a lock now
        cwd=tmp_path,
        stderr=subprocess.DEVNULL,
    )
    try:
        with os.fdopen(opened_by(process, config), "wb"):  # it waits for its settings and gets none
            limits = Path(f"/proc/{process.pid}/limits").read_text()
            process.send_signal(signal.SIGABRT)
            assert process.wait(10) == -signal.SIGABRT
    finally:
        process.kill()
        process.wait()
    assert "Max core file size        0                    0 " in limits
    assert [path.name for path in tmp_path.iterdir()] == ["galwad.toml"]
