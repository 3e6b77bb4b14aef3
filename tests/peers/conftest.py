"""Fixtures for tests that drive the real service against real third-party programs."""

from __future__ import annotations

import shutil
from functools import partial
from unittest.mock import patch

import pytest
from playwright.sync_api import expect, sync_playwright

from helpers.peers.call import Call
from helpers.peers.decoding import Capture
from helpers.peers.evidence import Recording
from helpers.peers.programs import Caller
from helpers.peers.service import OfficerKeys, Service
from helpers.peers.sound import Talker, find
from helpers.peers.stage import Stage
from helpers.peers.waiting import PATIENCE_S
from telephony.phone import VoIPPhone


@pytest.fixture(scope="session")
def officer(tmp_path_factory):
    """The officer's keys, made by `galwad keys`."""
    return OfficerKeys(tmp_path_factory.mktemp("officer"))


def starter(officer, folder):
    """Yield a function that starts a service of these processes; end it and check its logs."""
    started = []

    def start(*names, users=False, **settings):
        service = Service(folder, officer, **settings)
        started.append(service)
        if users:
            service.add_users()
        service.start(*names)
        if users and {"switch", "desk"} <= set(names):
            service.log.wait("phones.set")  # the desk has sent its accounts to the switch
        return service

    yield start
    for service in started:
        service.stop()
        service.judge()


@pytest.fixture
def start(officer, tmp_path):
    """Starts a service of these processes; ends it and checks its logs after the test."""
    yield from starter(officer, tmp_path)


@pytest.fixture(scope="module")
def start_shared(officer, tmp_path_factory):
    """Starts a service for all tests of a module, none of which may kill or change it."""
    yield from starter(officer, tmp_path_factory.mktemp("shared"))


@pytest.fixture
def switch(start):
    """A service with only the switch."""
    return start("switch")


@pytest.fixture
def service(start):
    """All three processes, with the advisor sian at 201 and the administrator ceri."""
    return start("switch", "desk", "finaliser", users=True)


@pytest.fixture
def ended(request):
    """Registers a program to be ended with the test: `ended(Caller(...))`."""

    def ended(thing):
        request.addfinalizer(thing.end if hasattr(thing, "end") else thing.close)
        return thing

    return ended


@pytest.fixture
def decoded():
    """Lets tshark check all later traffic of the test: `decoded(service, further SIP ports…)`."""
    captures = []

    def decoded(service, *ports):
        sip = {service.sip[1], service.pbx_port, service.department_port, *service.ports.values()}
        capture = Capture(service.folder, sip | set(ports), service.media_ports.pair)
        captures.append(capture)
        return capture

    yield decoded
    for capture in captures:
        capture.end()
    for capture in captures:
        capture.judge()


@pytest.fixture
def talker(ended):
    """Makes a party's RTP socket: `talker("127.0.0.2")`."""
    return lambda host="127.0.0.1": ended(Talker(host))


@pytest.fixture
def stage(start, ended, talker, decoded):
    """The service and its peers, with tshark's check of the traffic: `stage.open()`."""
    return Stage(start, ended, talker, decoded)


@pytest.fixture
def place_call_on(talker, ended):
    """Places a call from the trunk to the PBX of a service; 201 answers there."""
    return lambda service, callee="uas", caller="uac": Call(
        service, talker, ended, callee=callee, caller=caller
    )


@pytest.fixture
def place_call(service, place_call_on):
    """Places such a call on the service of the test."""
    return lambda *scenarios, **named: place_call_on(service, *scenarios, **named)


@pytest.fixture
def phone(service, ports):
    """Makes one of our phones, registered; its calls arrive in the queue."""

    def phone(calls=None, extension="201", password="", **more):
        return VoIPPhone(
            *(*service.sip, extension, password or service.sip_password),
            my_ip="127.0.0.1",
            rtp_ports=ports.pair,
            call_callback=None if calls is None else calls.put,
            **more,
        )

    return phone


@pytest.fixture
def caller(service, talker, ended):
    """Calls the line of the phones from the trunk; the caller's sound is in its `talker`."""
    mouth = talker("127.0.0.2")

    def caller():
        calling = ended(Caller(service, "01970000100", media=mouth.port))
        calling.talker = mouth
        return calling

    return caller


@pytest.fixture
def judge():
    """Checks what the officer finds in a call's recording: the speech, the gaps, their reasons."""

    def judge(service, call_id, kept, lost, reasons):
        recording = Recording(service, call_id)
        for (channel, said), there in [(each, True) for each in kept] + [
            (each, False) for each in lost
        ]:
            correlation = find(recording.samples[:, channel], said)[1]
            assert correlation > 0.95 if there else correlation < 0.3
        assert [gap["reason"] for gap in recording.gaps()] == reasons
        assert recording.adds_up()

    return judge


@pytest.fixture(scope="module")
def chromium():
    """The engine of Debian's Chromium, which needs a fifth of the browser's CPU time."""
    program = shutil.which("chromium-headless-shell")
    assert program, "missing: apt-get install chromium-headless-shell"
    expect.set_options(timeout=PATIENCE_S * 1_000)
    with sync_playwright() as playwright:
        flags = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
        # As in the whole browser, a page sounds only after a click or a key.
        flags.append("--autoplay-policy=document-user-activation-required")
        browser = playwright.chromium.launch(executable_path=program, args=flags)
        # While a call is recorded, the page's animation takes a fifth of a core.
        still = partial(browser.new_context, reduced_motion="reduce")
        with patch.object(browser, "new_context", still):
            yield browser
        browser.close()
