"""OPTIONS to the targets of routes, and the alarms and changes that follow the answers."""

from __future__ import annotations

import httpx2
import pytest

from helpers.peers.programs import Callee
from helpers.peers.waiting import PATIENCE_S, wait_until

pytestmark = pytest.mark.peer


def health(service):
    """Return the desk's public status, the number of peers that are down, and their metrics."""
    with httpx2.Client(base_url=service.url, timeout=PATIENCE_S) as anybody:
        said = anybody.get("/api/v1/health").json()
        metrics = anybody.get("/api/v1/metrics").text
    lines = [line for line in metrics.splitlines() if line.startswith("galwad_switch_peer_up{")]
    return said["status"], said["peers_down"], [float(line.split(" ")[-1]) for line in lines]


def test_a_pbx_that_answers_options_with_503_raises_one_alarm_and_still_gets_calls(stage, ended):
    service = stage.open_all(options_every=1)
    name = f"udp:127.0.0.3:{service.pbx_port}"
    stage.listen()
    pbx = stage.callee("uas_asked", status="503 Service Unavailable", calls=1000)
    alarm = service.log.wait("alarm", kind="peer.down", detail=f"{name}: SIP status 503")
    assert alarm["call_id"] is None
    wait_until(lambda: health(service) == ("degraded", 1, [0.0]))
    assert f"{name} does not answer OPTIONS" in service.galwad("check")
    caller = stage.caller()
    assert caller.media_target
    caller.hang_up()
    pbx.end()
    later = service.folder / "later"
    later.mkdir()
    keys = {"port": service.pbx_port, "status": "404 Not Found", "calls": 1000}
    ended(Callee(later, "uas_asked", "127.0.0.3", **keys))
    service.log.wait("alarm", kind="peer.up", detail=name)
    wait_until(lambda: health(service) == ("ok", 0, [1.0]))
    assert f"{name} answers OPTIONS" in service.galwad("check")
    told = {"kind": "peer.down", "detail": f"{name}: SIP status 503", "process": "switch"}
    assert len(service.log.events("alarm", **told)) == 1


def test_a_start_and_a_stop_of_kamailio_each_raise_an_alarm(stage):
    service = stage.open(listen=("tcp:127.0.0.1",), pbx_way=";transport=tcp", options_every=2)
    name = f"tcp:127.0.0.3:{service.pbx_port}"
    service.log.wait("alarm", kind="peer.down", detail=f"{name}: SIP status 503")
    proxy = stage.registrar()
    service.log.wait("alarm", kind="peer.up", detail=name)
    proxy.end()
    service.log.wait("alarm", count=2, kind="peer.down", detail=f"{name}: SIP status 503")
