"""Fixtures for tests that drive the real service against real third-party programs.

`harness` gives the modules beside this file, such as `service` and `programs`.
"""

from __future__ import annotations

import shutil
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import SimpleNamespace

import pytest
from playwright.sync_api import expect, sync_playwright

from telephony.phone import VoIPPhone

PARTS = (
    *("agent", "service", "programs", "sound", "evidence", "scripted"),
    *("kamailio", "rtpengine", "linphone", "decoding", "stage", "pcaps", "crashes", "disks"),
    *("pyvoip", "benchmarks"),
)


def _beside(name):
    """A module of this folder; tests/ is no package, so it has no name to import it by."""
    qualified = f"galwad_tests_peers_{name}"
    if qualified not in sys.modules:
        spec = spec_from_file_location(qualified, Path(__file__).with_name(f"{name}.py"))
        module = module_from_spec(spec)
        sys.modules[qualified] = module
        spec.loader.exec_module(module)
    return sys.modules[qualified]


@pytest.fixture(scope="session")
def harness():
    """The modules of the harness."""
    return SimpleNamespace(**{n: _beside(n) for n in PARTS})


@pytest.fixture(scope="session")
def officer(harness, tmp_path_factory):
    """The officer's keys, made by `galwad keys`."""
    return harness.service.OfficerKeys(tmp_path_factory.mktemp("officer"))


@pytest.fixture
def start(harness, officer, tmp_path):
    """Starts a service of these processes; ends and judges it at the end of the test."""
    started = []

    def start(*names, users=False, **settings):
        service = harness.service.Service(tmp_path, officer, **settings)
        started.append(service)
        if users:
            service.add_users()
        service.start(*names)
        if users and {"switch", "desk"} <= set(names):
            service.log.wait("phones.set")  # the desk has told the switch of its accounts
        return service

    yield start
    for service in started:
        service.stop()
        service.judge()


@pytest.fixture
def switch(start):
    """The switch alone."""
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
def decoded(harness):
    """Has tshark judge all that follows in the test: `decoded(service, further SIP ports…)`."""
    captures = []

    def decoded(service, *ports):
        sip = {service.sip[1], service.pbx_port, service.department_port, *service.ports.values()}
        capture = harness.decoding.Capture(
            harness.programs, service.folder, sip | set(ports), service.media_ports.pair
        )
        captures.append(capture)
        return capture

    yield decoded
    for capture in captures:
        capture.end()
    for capture in captures:
        capture.judge()


@pytest.fixture
def talker(harness, ended):
    """Makes a party's RTP socket: `talker("127.0.0.2")`."""
    return lambda host="127.0.0.1": ended(harness.sound.Talker(host))


@pytest.fixture
def stage(harness, start, ended, talker, decoded):
    """The service and whoever plays with it, before tshark: `stage.open()`."""
    return harness.stage.Stage(harness, start, ended, talker, decoded)


class Call:
    """An answered call between two SIPps, with the RTP of both parties in our hands."""

    def __init__(self, harness, service, talker, ended, *, callee, caller):
        programs, before = harness.programs, len(service.log.events("call.answered"))
        self.caller, self.advisor = talker("127.0.0.2"), talker("127.0.0.3")
        self.callee_sip = ended(
            programs.Callee(
                service.folder,
                callee,
                "127.0.0.3",
                port=service.pbx_port,
                media=self.advisor.port,
            )
        )
        self.caller_sip = ended(
            programs.Caller(service, "01970000200", scenario=caller, media=self.caller.port)
        )
        self.from_caller = self.caller_sip.media_target
        self.from_advisor = self.callee_sip.media_target
        self.call_id = service.log.wait("call.answered", before + 1)["call_id"]

    def hang_up(self):
        """The caller hangs up; both SIPps are content."""
        self.caller_sip.hang_up()
        self.callee_sip.wait()


@pytest.fixture
def place_call_on(harness, talker, ended):
    """Places a call from the trunk to the PBX of a service; whoever answers there sits at 201."""
    return lambda service, callee="uas", caller="uac": Call(
        harness, service, talker, ended, callee=callee, caller=caller
    )


@pytest.fixture
def place_call(service, place_call_on):
    """The same on the service of the test."""
    return lambda *scenarios, **named: place_call_on(service, *scenarios, **named)


@pytest.fixture
def phone(service, ports):
    """Makes a phone of ours, registered; its calls come by the queue."""

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
def caller(harness, service, talker, ended):
    """The trunk calls the line of the phones; what the caller says and hears is its `talker`'s."""
    mouth = talker("127.0.0.2")

    def caller():
        calling = ended(harness.programs.Caller(service, "01970000100", media=mouth.port))
        calling.talker = mouth
        return calling

    return caller


@pytest.fixture
def judge(harness):
    """What the officer must find of a call: what was said by whom, or not, and why not."""

    def judge(service, call_id, kept, lost, reasons):
        recording = harness.evidence.Recording(service, call_id)
        find = harness.sound.find
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
    """Debian's Chromium, headless."""
    program = shutil.which("chromium")
    assert program, "chromium is missing: apt-get install chromium"
    expect.set_options(timeout=20_000)
    with sync_playwright() as playwright:
        flags = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
        browser = playwright.chromium.launch(executable_path=program, args=flags)
        yield browser
        browser.close()
