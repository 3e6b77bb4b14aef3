"""The state of each process is found from its lock and its socket, without disturbing it."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys

import pytest

from galwad import link
from galwad.process_start import lock_folder
from galwad.process_state import ProcessState, State, states
from helpers.site import Site


@pytest.fixture
def site(tmp_path):
    site = Site(tmp_path)
    for name in ("switch", "desk", "finaliser"):
        (tmp_path / "state" / name).mkdir(exist_ok=True)
    return site


def test_a_process_without_a_lock_is_not_running_even_if_its_socket_is_there(site):
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(site.settings.desk_socket))
        listener.listen()
        assert {each.state for each in states(site.settings)} == {State.STOPPED}
    (site.root / "state" / "switch").rmdir()
    assert {each.state for each in states(site.settings)} == {State.STOPPED}


async def test_a_locked_process_is_running_if_it_reacts_on_its_socket(site):
    async def unexpected(peer, message):
        raise AssertionError(message)

    server = await link.serve(site.settings.switch_socket, unexpected)
    state = site.root / "state"
    with (
        lock_folder(state / "switch"),
        lock_folder(state / "desk"),
        lock_folder(state / "finaliser"),
    ):
        assert await asyncio.to_thread(states, site.settings) == (
            ProcessState("switch", State.RUNNING, os.getpid()),
            ProcessState("desk", State.SILENT, os.getpid()),
            ProcessState("finaliser", State.RUNNING, os.getpid()),
        )
    server.close()
    assert {each.state for each in states(site.settings)} == {State.STOPPED}


def test_a_process_whose_connections_only_the_kernel_accepts_does_not_answer(site):
    with socket.socket(socket.AF_UNIX) as listener, lock_folder(site.root / "state" / "desk"):
        listener.bind(str(site.settings.desk_socket))
        listener.listen()
        assert states(site.settings)[1] == ProcessState("desk", State.SILENT, os.getpid())


def test_a_process_that_a_signal_has_stopped_does_not_answer(site):
    program = (
        "import sys, time; from pathlib import Path\n"
        "from galwad.process_start import lock_folder\n"
        "with lock_folder(Path(sys.argv[1])): print(flush=True); time.sleep(600)"
    )
    command = [sys.executable, "-c", program, str(site.root / "state" / "finaliser")]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == b"\n"
            assert states(site.settings)[2] == ProcessState("finaliser", State.RUNNING, process.pid)
            process.send_signal(signal.SIGSTOP)
            os.waitid(os.P_PID, process.pid, os.WSTOPPED)
            assert states(site.settings)[2] == ProcessState("finaliser", State.SILENT, process.pid)
        finally:
            process.kill()
