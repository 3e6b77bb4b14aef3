"""The events of a real call reach a receiver, also one that is down when the call begins."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from standardwebhooks.webhooks import Webhook

from galwad.simulate.sound import speech
from helpers.peers.service import CALLER
from helpers.peers.waiting import wait_until

pytestmark = pytest.mark.peer

KEY = "whsec_" + "a2V5cyBvZiB0aGlzIHRlc3QgYXJlIG5vdCBzZWNyZXQ="
KINDS = ["ringing", "answered", "paused", "resumed", "ended", "sealed"]


class EventServer:
    """A receiver that checks each signature with the library of the specification."""

    def __init__(self):
        self.up = True
        self.documents: list[dict] = []
        self.refused = 0
        events = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if events.up:
                    events.documents.append(Webhook(KEY).verify(body, dict(self.headers)))
                else:
                    events.refused += 1
                self.send_response(204 if events.up else 503)
                self.end_headers()

            def log_message(self, *_):
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()

    @property
    def url(self):
        return f"http://127.0.0.1:{self._server.server_port}/events"

    def kinds(self, call_id):
        found = [each for each in self.documents if each["data"]["call_id"] == call_id]
        return [each["type"].removeprefix("call.") for each in found]

    def close(self):
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@pytest.fixture
def receiver(ended):
    return ended(EventServer())


@pytest.fixture
def service(start, tmp_path, receiver):
    secret = tmp_path / "webhook.key"
    secret.write_text(KEY)
    more = f'\n[webhook]\nurl = "{receiver.url}"\nsecret_file = "{secret}"\n'
    return start("switch", "desk", "finaliser", users=True, more=more)


@pytest.mark.parametrize("up", [True, False])
def test_the_events_of_a_call_with_a_payment_arrive_in_order(service, receiver, place_call, up):
    receiver.up = up
    call = place_call()
    call.caller.say(speech(1, 31), call.from_caller)
    with service.sign_in() as page:
        path = f"/api/v1/calls/{call.call_id}/payment"
        page.put(path, json={})
        call.caller.say(speech(1, 32), call.from_caller)
        page.request("DELETE", path)
    call.caller.say(speech(1, 33), call.from_caller)
    if not up:
        wait_until(lambda: receiver.refused, what="a request")
        service.kill("desk")
        service.start("desk")
    call.hang_up()
    receiver.up = True
    wait_until(lambda: receiver.kinds(call.call_id) == KINDS, what="the last event")
    assert len({each["id"] for each in receiver.documents}) == len(receiver.documents) == 6
    numbers = {each["data"]["caller"] for each in receiver.documents}
    assert numbers == {"+44" + CALLER[1:]}
    (sealed,) = (each for each in receiver.documents if each["type"] == "call.sealed")
    assert sealed["data"]["talk_seconds"] > 2
