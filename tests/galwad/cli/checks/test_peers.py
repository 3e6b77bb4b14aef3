"""`galwad check` asks a running switch about its trunks and targets.

Covers `galwad/cli/checks/network.py`.
"""

import asyncio
from types import SimpleNamespace
from typing import cast

import pytest

from galwad.cli.checks import network
from galwad.messages import Figures, PeerStatus
from galwad.settings import Settings
from galwad.switch.call.commands import DeskCommands
from galwad.switch.life.link_server import LinkServer


def with_socket(path):
    """Settings with only the switch's socket, which is all that the check reads."""
    return cast("Settings", SimpleNamespace(switch_socket=path))


@pytest.fixture
async def found(tmp_path, monkeypatch):
    """The findings of the check if the switch reports these peers; None: it has no report yet."""
    monkeypatch.setattr(network, "_TIMEOUT_S", 30.0)
    path = tmp_path / "switch.sock"
    hub = LinkServer(cast("DeskCommands", None), tmp_path / "ended.jsonl")
    server = await hub.listen(path)

    async def found(known, **more):
        if known is not None:
            hub.figures(Figures(0, 0, 0.0, 0, 0, 0, peers=tuple(known), **more))
        settings = with_socket(path)
        return await asyncio.to_thread(lambda: list(network.check_peers(settings)))

    yield found
    server.close()
    await asyncio.sleep(0)


async def test_each_peer_is_reported_by_registration_or_options_status(found):
    known = [
        PeerStatus("pstn", "register", up=True),
        PeerStatus("other", "register", up=False),
        PeerStatus("pstn udp:192.0.2.1:5060", "options", up=True),
        PeerStatus("udp:192.0.2.20:5060", "options", up=False),
    ]
    told = await found(known)
    assert [finding.grade.value for finding in told] == ["fine", "warning", "fine", "warning"]
    assert [finding.text.partition(":5060")[0] for finding in told[2:]] == [
        "pstn udp:192.0.2.1",
        "udp:192.0.2.20",
    ]
    assert "does not accept our registration" in told[1].text
    assert "after all others" in told[3].text
    assert all(finding.fix for finding in told if finding.grade.value == "warning")


async def test_a_pbx_without_names_is_a_warning(found):
    named, silent = await found([], naming={"pbx": True, "other": False})
    assert (named.grade.value, named.text) == ("fine", "trunk pbx names the parties that answer")
    assert silent.grade.value == "warning"
    assert "trunk other does not name who answers" in silent.text


async def test_a_switch_without_peers_gives_no_finding(found):
    assert await found([]) == []


async def test_the_check_waits_only_briefly_for_a_switch_that_has_just_started(found, monkeypatch):
    monkeypatch.setattr(network, "_TIMEOUT_S", 0.05)
    assert await found(None) == []


def test_without_a_running_switch_there_is_no_finding(tmp_path):
    assert list(network.check_peers(with_socket(tmp_path / "none.sock"))) == []
