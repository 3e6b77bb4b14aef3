"""`galwad status` and `galwad check` report processes that are down.

Covers `galwad/cli/checks/processes.py`.
"""

from __future__ import annotations

import contextlib
import json
import socketserver
import threading

import pytest

from galwad.settings import load
from galwad.single_instance import lock_folder


class Link(socketserver.StreamRequestHandler):
    """Closes a connection when its client has ended it, as the switch and the desk do."""

    def handle(self):
        self.rfile.read()


@contextlib.contextmanager
def listening(path):
    """Accept connections on the socket file `path`, and react on them."""
    with socketserver.ThreadingUnixStreamServer(str(path), Link) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def start(settings_file, tmp_path):
    """Make processes look as if they were running: they hold their locks and listen."""
    settings = load(settings_file)
    sockets = {"switch": settings.switch_socket, "desk": settings.desk_socket}
    with contextlib.ExitStack() as held:

        def start(name):
            folder = tmp_path / "state" / name
            folder.mkdir()
            held.enter_context(lock_folder(folder))
            if name in sockets:
                held.enter_context(listening(sockets[name]))

        yield start


def processes(run, settings_file):
    done = run("check", "--json", "--config", settings_file)
    found = [each for each in json.loads(done.out) if each["name"] == "processes"]
    return [(each["grade"], each["text"]) for each in found]


def test_all_processes_down_is_an_error_of_status_and_a_warning_of_check(run, settings_file):
    done = run("status", "--config", settings_file)
    assert done.status == 1
    assert "the switch is not running: no call is answered" in done.err
    assert "hint: journalctl -u galwad-switch" in done.err
    assert processes(run, settings_file) == [("warning", "none is running")]


def test_a_desk_and_a_finaliser_that_are_down_beside_a_switch_are_faults(run, settings_file, start):
    start("switch")
    rows = run("status", "--json", "--config", settings_file)
    assert [(row["name"], row["state"]) for row in rows.json()] == [
        ("switch", "running"),
        ("desk", "not running"),
        ("finaliser", "not running"),
    ]
    assert rows.status == 1
    assert processes(run, settings_file) == [
        ("fine", "the switch is running"),
        ("fault", "the desk is not running: the page and the API are down"),
        ("fault", "the finaliser is not running: no recording is sealed"),
    ]


def test_three_running_processes_are_fine(run, settings_file, start):
    for name in ("switch", "desk", "finaliser"):
        start(name)
    done = run("status", "--config", settings_file)
    assert (done.status, done.err) == (0, "")
    assert done.out.count("running") == 3
    assert {grade for grade, _ in processes(run, settings_file)} == {"fine"}
