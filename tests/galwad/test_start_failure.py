"""A process that cannot start logs what failed, with which path or address, and the remedy."""

from __future__ import annotations

import json
import socket

import pytest

from helpers import processes
from helpers.processes import GALWAD
from helpers.site import Site


def start(site, name):
    """Return the log entry `cannot_start` of a real process."""
    command = [*GALWAD, "serve", "--only", name, "--config", site.config]
    done = processes.run(command, timeout=60)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    lines = [line for line in done.stderr.splitlines() if f"{name}.cannot_start" in line]
    assert len(lines) == 1, done.stderr
    return json.loads(lines[0])


@pytest.fixture
def site(tmp_path):
    return Site(tmp_path)


def test_a_sip_address_in_use_is_named_with_the_remedy(site):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("127.0.0.1", 0))
        place = f"127.0.0.1:{other.getsockname()[1]}"
        text = site.config.read_text().replace("udp:127.0.0.1:0", f"udp:{place}")
        site.config.write_text(text + '[media]\nlisten = "127.0.0.1"\n')
        entry = start(site, "switch")
    assert (entry["reason"], entry["path"]) == ("address already in use", place)
    assert "ss -lunptp" in entry["hint"]


def test_a_desk_address_in_use_is_named_with_the_remedy(site):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        place = f"127.0.0.1:{other.getsockname()[1]}"
        site.config.write_text(site.config.read_text() + f'[desk]\nlisten = "{place}"\n')
        entry = start(site, "desk")
    assert (entry["reason"], entry["path"]) == ("address already in use", place)
    assert "change the address" in entry["hint"]


def test_a_folder_that_cannot_be_used_is_named_with_the_remedy(site):
    archive = site.root / "state" / "archive"
    archive.write_text("not a folder")
    entry = start(site, "finaliser")
    assert str(archive) in entry["reason"] + entry["path"]
    assert entry["hint"]
