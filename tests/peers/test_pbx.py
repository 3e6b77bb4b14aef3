"""Calls that a PBX answers without naming the advisor who has picked up."""

from __future__ import annotations

import pytest

from helpers.peers.waiting import wait_until

pytestmark = pytest.mark.peer


def test_a_pbx_group_without_a_named_advisor_sees_the_call_and_can_pause_it(service, place_call):
    call = place_call("uas_unnamed")
    url = f"/api/v1/calls/{call.call_id}"
    with service.sign_in() as sian:
        assert sian.get(url).json()["mine"]
        assert sian.put(f"{url}/payment").json()["state"] == "paused"
        assert sian.delete(f"{url}/payment").json()["state"] == "recording"
        note = {"purpose": "enquiry", "language": "en"}
        assert sian.put(f"{url}/contact", json=note).status_code == 200
        taken = wait_until(lambda: sian.get(url).json()["extension"] == "201", what="the taking")
        assert taken
        call.hang_up()
    service.log.wait("recording.sealed")
