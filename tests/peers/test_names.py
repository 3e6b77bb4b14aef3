"""Header fields with people's names, names that change during a call, and NOTIFYs."""

from __future__ import annotations

import re

import pytest

pytestmark = pytest.mark.peer

NAMING = ("P-Asserted-Identity", "History-Info", "Diversion", "Identity")
INSIDE = '"127.0.0.2", "127.0.0.3"'


def named(sipp, method="INVITE"):
    """Return the header fields of the first received request of this method, by name."""
    text = sipp.messages().replace("\r", "").partition(f"\n{method} sip:")[2].partition("\n\n")[0]
    return dict(re.findall(r"(?m)^([\w-]+): *(.*)$", text))


@pytest.mark.parametrize("inside", [True, False])
def test_names_and_their_changes_are_passed_on_only_inside_the_trust_domain(stage, inside):
    service = stage.open(**({"trunk_peers": INSIDE} if inside else {}))
    service.planted += ["1632960777", "1632960888"]
    stage.listen()
    pbx = stage.callee("uas_naming")
    caller = stage.caller(scenario="uac_naming")
    assert caller.media_target
    invite = named(pbx)
    assert [name for name in NAMING if name in invite] == (list(NAMING) if inside else [])
    if inside:
        assert invite["History-Info"] == "<sip:01632960777@127.0.0.2>;index=1"
        assert invite["Diversion"] == "<sip:01632960888@127.0.0.2>;reason=unconditional"
        assert invite["Identity"].startswith("eyJhbGciOiJFUzI1NiJ9.e30.c2ln;info=<https://cert")
        assert invite["Date"] == "Wed, 25 Nov 2026 03:46:21 GMT"
    pbx.logged("acked")
    pbx.poke(pbx.sip_call_id)
    pbx.logged("all heard")
    heard = re.findall(r"heard SIP/2.0 (\d+)", (caller.folder / "log").read_text())
    assert heard == ["100", "180", "200"]
    renamed = re.findall(r"named (\S+)", (caller.folder / "log").read_text())
    assert renamed == (["sip:202@127.0.0.3"] if inside else [])
    caller.hang_up()
    pbx.wait()


def test_the_notifys_of_a_transfer_arrive_in_the_order_of_its_progress(stage):
    service = stage.open()
    stage.listen()
    pbx = stage.callee("uas_referring")
    department = stage.callee("uas", host="127.0.0.4", port=service.department_port)
    caller = stage.caller()
    pbx.logged("acked")
    pbx.poke(pbx.sip_call_id)
    department.logged("acked")
    pbx.logged("told SIP/2.0 200")
    caller.hang_up()
    department.wait()
    pbx.wait()
    told = re.findall(r"told SIP/2.0 (\d+)", (pbx.folder / "log").read_text())
    assert told == ["100", "180", "200"]
    orders = re.findall(r"(?m)^CSeq: (\d+) NOTIFY", pbx.messages().replace("\r", ""))
    assert len(set(orders)) == 3
    assert orders == sorted(orders, key=int)
