"""Trunks that ask for our password: registration, challenges and alarms."""

from __future__ import annotations

import random

import pytest
from pydantic import ValidationError

from galwad.settings.switch import Trunk
from galwad.switch.edge.peers import TrunkAccounts
from helpers.sip_messages import request_of
from telephony.sip.endpoint import Endpoint
from telephony.sip.events import Address
from telephony.sip.message.header_values import NameAddr
from telephony.sip.message.messages import respond
from telephony.sip.message.uri import Uri
from telephony.sip.ua.auth import AuthOutcome, DigestServer, ha1

HERE = Address("198.51.100.1", 5060)
TRUNK = Address("192.0.2.1", 5060)
REGISTRAR = Address("192.0.2.77", 5060)
STRANGER = Address("203.0.113.9", 5060)
SECRET = "correct horse"


class Site:
    """A core with its trunks' passwords, and peers that challenge every request."""

    def __init__(self, settings, **trunk):
        rest = settings.trunks[1:]
        facts = {"username": "01970000999", "password": SECRET} | trunk
        first = Trunk.model_validate({"name": "pstn", "peers": ("192.0.2.1",), **facts})
        self.endpoint = Endpoint(rng=random.Random(1))
        self.endpoint.listen(HERE)
        self.alarms: list[tuple] = []
        self.upstream = TrunkAccounts(
            settings.model_copy(update={"trunks": (first, *rest)}),
            self.endpoint,
            lambda _: (REGISTRAR,),
            lambda *alarm: self.alarms.append(alarm),
        )
        self.digest = DigestServer("r", b"k" * 32, lambda u, r, how: ha1(u, r, SECRET, how))
        self.let_in = []
        self.status = 200

    def settle(self, now=1000.0):
        for _ in range(20):
            for message in self.endpoint.outgoing():
                request = request_of(message.data)
                if request.method == "ACK":
                    continue
                found = self.digest.verify(request, now)
                if found.outcome is AuthOutcome.ACCEPTED:
                    self.let_in.append((request.method, message.destination))
                    response = respond(request, self.status)
                else:
                    response = respond(request, 401, headers=self.digest.challenges(now))
                self.endpoint.receive(bytes(response), message.destination, HERE, now)
            while (event := self.endpoint.next_event()) is not None:
                self.upstream.on_event(event, now)

    def call(self, there):
        party = NameAddr("", Uri(user="x", host="example.com"), ())
        self.endpoint.invite(
            Uri(user="600", host=there.host), from_=party, to=party, destination=there, now=1000.0
        )
        self.settle()


def test_only_a_challenge_of_the_trunk_is_answered_with_our_password(settings):
    site = Site(settings)
    site.call(TRUNK)
    assert site.let_in == [("INVITE", TRUNK)]
    site.call(STRANGER)
    site.call(TRUNK._replace(host="192.0.2.2"))
    assert len(site.let_in) == 1


def test_the_switch_registers_once_at_the_registrar_of_a_trunk(settings):
    site = Site(settings, registrar="sip:trunk.example")
    site.upstream.tick(1000.0)
    site.settle()
    site.upstream.tick(1001.0)
    site.settle(1001.0)
    assert site.let_in == [("REGISTER", REGISTRAR)]
    assert site.alarms == []


def test_a_failed_registration_raises_one_alarm_without_the_number(settings):
    site = Site(settings, registrar="sip:trunk.example", password="wrong")
    for second in range(200):
        site.upstream.tick(1000.0 + second)
        site.settle(1000.0 + second)
    assert site.alarms == [("trunk.unregistered", None, "pstn: SIP status 401")]


def test_the_switch_unregisters_when_it_stops(settings):
    site = Site(settings, registrar="sip:trunk.example")
    site.upstream.tick(1000.0)
    site.settle()
    site.upstream.stop(1001.0)
    site.settle(1001.0)
    assert len(site.let_in) == 2
    site.upstream.tick(90_000.0)
    site.settle(90_000.0)
    assert len(site.let_in) == 2


def with_password_file(path):
    return {"username": "01970000999", "password": None, "password_file": path}


def test_a_password_is_read_from_its_file_without_the_line_end(settings, tmp_path):
    path = tmp_path / "galwad.trunk.pstn"
    path.write_text(SECRET + "\n")
    site = Site(settings, registrar="sip:registrar.example", **with_password_file(path))
    site.upstream.tick(1000.0)
    site.settle()
    assert site.let_in == [("REGISTER", REGISTRAR)]
    assert site.alarms == []


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "no such file or directory"),
        (b"", "not one line of text"),
        (b"one\ntwo\n", "not one line of text"),
        (b"\xff\xfe\n", "not one line of text"),
    ],
)
def test_a_trunk_whose_password_cannot_be_read_raises_one_alarm_with_the_path(
    settings, tmp_path, content, reason
):
    path = tmp_path / "galwad.trunk.pstn"
    if content is not None:
        path.write_bytes(content)
    site = Site(settings, **with_password_file(path))
    for now in (1000.0, 1001.0):
        site.upstream.tick(now)
    assert site.alarms == [("trunk.unregistered", None, f"pstn: {path}: {reason}")]


@pytest.mark.parametrize(
    "half",
    [
        {"username": "x"},
        {"password": "x"},
        {"registrar": "sip:a.example"},
        {"password_file": "/a"},
        {"username": "x", "password": "x", "password_file": "/a"},
        {"username": "x", "password_file": "a"},
        {"registrar": "a.example", "username": "x", "password": "x"},
    ],
)
def test_an_incomplete_trunk_account_is_refused(half):
    with pytest.raises(ValidationError):
        Trunk.model_validate({"name": "pstn", "peers": ("192.0.2.1",), **half})


def test_the_repr_and_text_of_the_settings_contain_no_trunk_password(settings):
    account = {"username": "x", "password": SECRET}
    trunk = Trunk.model_validate({"name": "pstn", "peers": ("192.0.2.1",), **account})
    assert SECRET not in repr(settings.model_copy(update={"trunks": (trunk,)}))
    assert SECRET not in f"{trunk} {trunk!r}"
