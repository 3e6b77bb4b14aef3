"""Advisors on breaks, with the real switch and desk, real phones and a real browser."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, ExitStack
from dataclasses import dataclass

import httpx2
import pytest
from playwright.sync_api import expect

from galwad.simulate.sound import speech
from helpers.peers.programs import Baresip
from helpers.peers.service import PASSWORD, Service, ha1
from helpers.peers.sound import save
from telephony.phone import CallState, VoIPCall, VoIPPhone

pytestmark = pytest.mark.peer

SECONDS = 60
LINE = "01970000400"
LUNCH = {"state": "break", "reason": "lunch"}
URL = "/api/v1/presence"
MORE = f"""
[[phones]]
extension = "401"
user = "sian"
ha1_md5 = "{ha1("401")}"

[[phones]]
extension = "402"
user = "huw"
ha1_md5 = "{ha1("402")}"

[[routes]]
called = "{LINE}"
ring = ["401", "402"]
line = "Waste"
skip_away = true
"""


@dataclass
class Centre:
    """A service whose line skips people who are away, and the phones of its advisors."""

    service: Service
    sian: asyncio.Queue[VoIPCall]
    """The calls that ring at sian's phone, 401."""
    huw: asyncio.Queue[VoIPCall]
    huws_phone: VoIPPhone
    caller: VoIPPhone
    desk: httpx2.Client
    """The supervisor's client of the desk."""

    async def until(self, **wanted):
        """Wait until the supervisor's list says all this about the users."""
        async with asyncio.timeout(SECONDS):
            while True:
                rows = {each["user"]: each for each in self.desk.get(URL).json()}
                if all(facts.items() <= rows[name].items() for name, facts in wanted.items()):
                    return
                await asyncio.sleep(0.1)

    async def away(self, *users):
        """Set these users on a break, and wait until the switch knows it."""
        before = len(self.service.log.events("away.set", users=len(users)))
        for user in users:
            assert self.desk.put(f"{URL}/{user}", json=LUNCH).status_code == 200
        await asyncio.to_thread(
            self.service.log.wait, "away.set", before + 1, SECONDS, users=len(users)
        )


@pytest.fixture
async def centre(start, ports):
    service = start("switch", "desk", "finaliser", users=True, more=MORE)
    for name, role in (("huw", "advisor"), ("mair", "supervisor")):
        add = ("users", "add", name, "--role", role, "--password-stdin")
        service.galwad(*add, stdin=PASSWORD + "\n")
    async with AsyncExitStack() as stack:

        async def phone(extension, calls=None):
            return await stack.enter_async_context(
                VoIPPhone(
                    *(*service.sip, extension, f"secret-{extension}"),
                    my_ip="127.0.0.1",
                    rtp_ports=ports.pair,
                    call_callback=calls and calls.put,
                )
            )

        sian: asyncio.Queue[VoIPCall] = asyncio.Queue()
        huw: asyncio.Queue[VoIPCall] = asyncio.Queue()
        await phone("401", sian)
        huws_phone, caller = await phone("402", huw), await phone("301")
        desk = stack.enter_context(service.sign_in("mair"))
        centre = Centre(service, sian, huw, huws_phone, caller, desk)
        await centre.until(sian={"devices": 1}, huw={"devices": 1, "extension": "402"})
        yield centre


async def rings(calls):
    """Return the call that rings at a phone."""
    async with asyncio.timeout(SECONDS):
        return await calls.get()


async def test_an_advisor_on_a_break_is_rung_only_when_the_other_advisor_is_busy(centre):
    await centre.away("huw")
    call = await centre.caller.call(LINE)
    at_sian = await rings(centre.sian)
    await centre.until(sian={"state": "on_call", "ringing": True}, huw={"state": "break"})
    assert centre.huw.empty()
    await at_sian.deny(486)
    at_huw = await rings(centre.huw)
    await at_huw.answer()
    await call.wait_for(CallState.ANSWERED)
    await centre.until(huw={"state": "on_call", "on_break": True, "line": "Waste"})
    await call.hangup()


async def test_all_phones_ring_if_all_advisors_are_on_a_break(centre):
    await centre.away("sian", "huw")
    call = await centre.caller.call(LINE)
    await rings(centre.sian)
    await rings(centre.huw)
    assert centre.service.log.events("route.all_away", phones=2)
    await call.hangup()


async def test_ringing_follows_the_last_breaks_while_the_desk_is_down_and_breaks_survive_that(
    centre,
):
    await centre.away("huw")
    centre.service.kill("desk")
    call = await centre.caller.call(LINE)
    at_sian = await rings(centre.sian)
    await at_sian.answer()
    await call.wait_for(CallState.ANSWERED)
    assert centre.huw.empty()
    await call.hangup()
    links = len(centre.service.log.events("away.set", users=1))
    centre.service.start("desk")
    await centre.until(huw={"state": "break", "reason": "lunch", "devices": 1})
    await asyncio.to_thread(centre.service.log.wait, "away.set", links + 1, SECONDS, users=1)
    assert centre.desk.put(f"{URL}/huw", json={"state": "available"}).status_code == 200
    await centre.until(huw={"state": "available"})


async def test_the_list_of_advisors_shows_that_a_phone_has_unregistered(centre):
    await centre.huws_phone.stop()
    await centre.until(huw={"devices": 0, "state": "offline"}, sian={"devices": 1})


def test_a_supervisor_sees_the_break_that_an_advisor_begins_and_a_phone_that_is_gone(
    service, chromium
):
    """A browser beside three processes: 3 s of CPU time."""
    add = ("users", "add", "mair", "--role", "supervisor", "--password-stdin")
    service.galwad(*add, stdin=PASSWORD + "\n")
    said = service.folder / "advisor.wav"
    save(said, speech(1, 111))
    troubles: list[str] = []
    with ExitStack() as phones:
        phone = Baresip(service.folder, service, said)
        phones.callback(phone.end)
        phone.wait_registered()
        sian, mair = [signed_in(chromium, service, name, troubles) for name in ("sian", "mair")]
        row = mair.locator(".advisors tbody tr").filter(has=mair.locator("#advisor-sian"))
        expect(row.locator(".registered")).to_have_text("Registered")
        expect(row).to_contain_text("Available")
        sian.get_by_role("button", name="Take a break").click()
        sian.get_by_role("button", name="Training").click()
        expect(sian.locator(".presence .status strong")).to_have_text("On a break")
        expect(row).to_contain_text("On a break")
        expect(row).to_contain_text("Training")
    expect(row.locator(".registered")).to_have_text("Not registered")
    row.get_by_role("button", name="Set available").click()
    expect(sian.locator(".presence .status strong")).to_have_text("Available")
    mair.screenshot(path=str(service.folder / "advisors.png"))
    assert troubles == []


def signed_in(chromium, service, name, troubles):
    """Return the page of a user, and collect its script errors."""
    page = chromium.new_context(locale="en-GB").new_page()
    page.on("pageerror", lambda error: troubles.append(str(error)))
    page.goto(service.url)
    page.get_by_label("User name").fill(name)
    page.get_by_label("Password").fill(PASSWORD)
    page.keyboard.press("Enter")
    page.locator("#link[data-state=live]").wait_for()
    return page
