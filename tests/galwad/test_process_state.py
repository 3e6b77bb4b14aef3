"""The state of each process is found from its lock and its socket, without disturbing it."""

from __future__ import annotations

import os
import socket

import pytest

from galwad.process_state import ProcessState, State, states
from galwad.single_instance import lock_folder
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


def test_a_locked_process_is_running_if_it_accepts_connections(site):
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(site.settings.switch_socket))
        listener.listen()
        state = site.root / "state"
        with (
            lock_folder(state / "switch"),
            lock_folder(state / "desk"),
            lock_folder(state / "finaliser"),
        ):
            assert states(site.settings) == (
                ProcessState("switch", State.RUNNING, os.getpid()),
                ProcessState("desk", State.SILENT, os.getpid()),
                ProcessState("finaliser", State.RUNNING, os.getpid()),
            )
    assert {each.state for each in states(site.settings)} == {State.STOPPED}
