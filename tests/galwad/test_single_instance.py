"""A second process of the same kind ends at once and changes nothing."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
from subprocess import DEVNULL

import pytest

from galwad.process_start import FolderLockedError, lock_folder
from helpers import processes
from helpers.loopback import free_port
from helpers.processes import GALWAD, Child
from recording.keys.keyring import OfficerKeys

PATIENCE_S = 120


@pytest.fixture
def config(tmp_path):
    (tmp_path / "run").mkdir()
    file = tmp_path / "galwad.toml"
    file.write_text(
        f"""
        [node]
        state = "{tmp_path}/state"
        runtime = "{tmp_path}/run"
        [sip]
        listen = ["udp:127.0.0.1:{free_port()}"]
        [[retention]]
        category = "general"
        keep = "by hand"
        [recording]
        officer_key = "{OfficerKeys.generate().public_key}"
        [desk]
        listen = "127.0.0.1:{free_port()}"
        """
    )
    return file


@contextlib.contextmanager
def process(config, name):
    """Start a real process and wait until it is ready."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
        notify.bind(f"\0galwad-test-{free_port()}")
        notify.settimeout(PATIENCE_S)
        address = "@" + notify.getsockname()[1:].decode()
        started = Child(
            [*GALWAD, "serve", "--only", name, "--config", config],
            env={**os.environ, "NOTIFY_SOCKET": address},
            stderr=DEVNULL,
        )
        try:
            while b"READY=1" not in notify.recv(4096):
                continue
            yield started
        finally:
            started.kill()
            started.wait()


def second(config, name):
    """Start another process and return its exit status and its output."""
    command = [*GALWAD, "serve", "--only", name, "--config", config]
    done = processes.run(command, timeout=PATIENCE_S)
    return done.returncode, done.stderr


@pytest.mark.parametrize("name", ["switch", "desk", "finaliser"])
def test_a_second_process_of_a_kind_ends_at_once_and_changes_nothing(tmp_path, config, name):
    with process(config, name) as first:
        sockets = {path: path.stat().st_ino for path in (tmp_path / "run").glob("*.sock")}
        status, said = second(config, name)
        assert status == 1
        assert said == (
            f"error: another process is at work in {tmp_path}/state/{name}\n"
            f"hint: only one {name} can run: stop the other one first, or let it run\n"
        )
        assert {path: path.stat().st_ino for path in sockets} == sockets
        assert first.poll() is None


def test_a_killed_process_leaves_no_lock_behind(config):
    with process(config, "finaliser") as first:
        first.send_signal(signal.SIGKILL)
        first.wait()
        with process(config, "finaliser"):
            assert second(config, "finaliser")[0] == 1


def test_a_missing_folder_is_not_locked_and_prevents_no_process(tmp_path):
    with lock_folder(tmp_path / "none"), lock_folder(tmp_path / "none"):
        (tmp_path / "none").mkdir()
    with (
        lock_folder(tmp_path / "none"),
        pytest.raises(FolderLockedError),
        lock_folder(tmp_path / "none"),
    ):
        raise RuntimeError
    with lock_folder(tmp_path / "none"):
        assert (tmp_path / "none").is_dir()
