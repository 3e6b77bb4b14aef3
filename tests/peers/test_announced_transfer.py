"""A receptionist at the PBX announces a citizen and hands the call over to the centre."""

from __future__ import annotations

import signal
import threading
import time

import pytest

from galwad.simulate.sound import RATE, speech
from helpers.peers.evidence import Recording
from helpers.peers.service import CALLER
from helpers.peers.sound import find
from helpers.peers.waiting import wait_until

pytestmark = pytest.mark.peer

CITIZEN = "+441632960002"
PEOPLE = f"""reference,name,numbers,postcode
P1,Glenys Reception,{CALLER},LL00 1AA
P2,Mair Pritchard,{CITIZEN},LL00 2BB
"""


class Reception:
    """A receptionist who calls the centre's PBX, and an advisor who has confirmed their details."""

    def __init__(self, stage, host="127.0.0.2"):
        self.stage, self.service = stage, stage.service
        self.service.planted.append(CITIZEN[1:])
        people = self.service.folder / "people.csv"
        people.write_text(PEOPLE, encoding="utf-8")
        self.service.galwad("directory", "import", str(people))
        self.mouth, ear = stage.talker(host), stage.talker("127.0.0.3")
        self.pbx = stage.callee(media=ear.port)
        self.sipp = stage.caller(scenario="uac_handing_over", host=host, media=self.mouth.port)
        self.target = self.sipp.media_target
        self.call_id = self.service.call_id()
        self.url = f"/api/v1/calls/{self.call_id}"

    def caller(self, page, status):
        """Wait for the state of the lookup, and return the caller of the pop."""
        wait_until(lambda: page.get(self.url).json()["caller"]["status"] == status, what=status)
        return page.get(self.url).json()["caller"]

    def confirm(self, page):
        """Confirm the receptionist's details, which the API then shows."""
        chosen = self.caller(page, "found")["chosen"]
        answer = {"outcome": "confirmed", "person_id": chosen}
        return page.post(f"{self.url}/confirm", json=answer).json()["caller"]["details"]

    def hand_over(self, privacy):
        """Let the PBX name the citizen."""
        header = f"P-Asserted-Identity: <sip:{CITIZEN}@127.0.0.2>\r\nPrivacy: {privacy}"
        self.sipp.poke(self.sipp.sip_call_id, header)
        self.sipp.logged("handed over")

    def say(self, seed):
        """Say a second of speech to the advisor."""
        said = speech(1, seed)
        self.mouth.say(said, self.target)
        return said


def test_an_announced_caller_is_looked_up_and_the_recording_has_both_callers(stage):
    service = stage.open_all()
    stage.listen()
    call = Reception(stage)
    with service.sign_in() as page:
        assert call.confirm(page)["postcode"] == "LL00 1AA"
        before = call.say(501)
        call.hand_over("none")
        new = call.caller(page, "found")
        assert (new["details"], new["confirmed"], new["position"]) == ({}, False, 2)
        assert [one["name"] for one in new["candidates"]] == ["Mair Pritchard"]
        after = call.say(502)
        call.sipp.hang_up()
    recording = Recording(service, call.call_id)
    assert all(find(recording.caller, said)[1] > 0.95 for said in (before, after))
    assert recording.gaps() == []
    with service.sign_in("ceri") as admin:
        for number in (CALLER, CITIZEN):
            (row,) = admin.post("/api/v1/recordings/search", json={"number": number}).json()["rows"]
            (later,) = row["later_callers"]
            assert (row["number"], later["number"]) == (f"+44{CALLER[1:]}", CITIZEN)
            assert 1 < later["from_us"] / 1e6 < row["talk_s"] - 1


def test_a_caller_announced_to_a_stopped_switch_is_dated_from_the_announcement(stage):
    service = stage.open_all()
    call = Reception(stage)
    with service.sign_in() as page:
        call.confirm(page)
        said = speech(1, 504)
        began = call.mouth.say(said, call.target)
        switch = service.processes["switch"].process
        switch.send_signal(signal.SIGSTOP)
        announcing = threading.Thread(target=call.hand_over, args=("none",))
        announced = time.monotonic()
        announcing.start()
        time.sleep(1)
        switch.send_signal(signal.SIGCONT)
        announcing.join()
        call.caller(page, "found")
        call.sipp.hang_up()
    recording = Recording(service, call.call_id)
    expected = find(recording.caller, said)[0] / RATE + announced - began
    with service.sign_in("ceri") as admin:
        search = {"number": CITIZEN}
        (row,) = admin.post("/api/v1/recordings/search", json=search).json()["rows"]
    # A switch that took its own time would be a second late.
    assert abs(row["later_callers"][0]["from_us"] / 1e6 - expected) < 0.6


def test_an_announced_caller_who_asks_for_privacy_is_neither_shown_nor_looked_up(stage):
    service = stage.open_all()
    call = Reception(stage)
    with service.sign_in() as page:
        assert call.confirm(page)
        call.hand_over("id")
        new = call.caller(page, "withheld")
        assert (new["number_display"], new["candidates"], new["details"]) == (None, [], {})
        call.sipp.hang_up()


def test_a_call_of_an_untrusted_trunk_keeps_its_caller(stage):
    service = stage.open_all(more='\n[[trunks]]\nname = "other"\npeers = ["127.0.0.5"]\n')
    call = Reception(stage, host="127.0.0.5")
    with service.sign_in() as page:
        assert call.confirm(page)
        before = page.get(call.url).json()["caller"]
        call.hand_over("none")
        call.say(503)
        assert page.get(call.url).json()["caller"] == before
        call.sipp.hang_up()
