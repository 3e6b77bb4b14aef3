"""A trunk that asks us for a password: SIPp is its registrar, and then calls us."""

from __future__ import annotations

import pytest

from helpers.peers.programs import Callee, Caller
from helpers.peers.service import Service

pytestmark = pytest.mark.peer

TRUNK = "127.0.0.2"
PBX = "127.0.0.3"


@pytest.fixture
def registrar(ended, tmp_path):
    """SIPp as the registrar, before the switch starts."""
    return ended(Callee(tmp_path, "uas_registrar", TRUNK))


@pytest.fixture
def password():
    """The password in the switch's settings."""
    return "correct horse"


@pytest.fixture
def switch(officer, tmp_path, registrar, password):
    """A service with only the switch, with an account at the trunk."""
    service = Service(tmp_path, officer)
    text = service.config.read_text()
    account = (
        f'peers = ["{TRUNK}"]\nusername = "01970000100"\npassword = "{password}"\n'
        f'registrar = "sip:{TRUNK}:{registrar.port}"\n'
    )
    service.config.write_text(text.replace(f'peers = ["{TRUNK}"]\n', account))
    service.start("switch")
    yield service
    service.stop()
    service.judge()


def test_the_switch_registers_at_a_trunk_is_called_and_unregisters_when_it_stops(
    switch, registrar, ended
):
    contact = registrar.logged(r"registered (\S+)")
    assert contact == f"sip:01970000100@127.0.0.1:{switch.sip[1]}"
    assert switch.log.wait("trunk.registered")["trunk"] == "trunk"
    calling = ended(Caller(switch, "01970000100", scenario="uac_refused", status=480))
    calling.wait()
    switch.stop()
    registrar.logged("gone")
    registrar.wait()


@pytest.mark.parametrize("password", ["correct pony"])
def test_a_trunk_that_refuses_the_registration_raises_an_alarm(switch, registrar):
    assert switch.log.wait("alarm", kind="trunk.unregistered")["detail"] == "trunk: SIP status 403"
    registrar.wait()


@pytest.fixture
def asking(officer, tmp_path):
    """A switch whose trunk, the PBX, requires a password for each call and makes no calls."""
    service = Service(tmp_path, officer)
    text = service.config.read_text()
    account = (
        f'peers = ["{TRUNK}", "{PBX}"]\nusername = "01970000100"\npassword = "correct horse"\n'
    )
    service.config.write_text(text.replace(f'peers = ["{TRUNK}"]\n', account))
    service.start("switch")
    yield service
    service.stop()
    service.judge()


def test_a_challenge_to_an_outgoing_invite_is_answered_and_hidden_from_the_caller(asking, ended):
    callee = ended(Callee(asking.folder, "uas_asking", PBX, port=asking.pbx_port))
    calling = ended(Caller(asking, "01970000200"))
    assert calling.media_target
    callee.logged("media")
    calling.hang_up()
    callee.wait()
    assert "401 Unauthorized" not in calling.messages()
