"""One request for each event: signed, within limits, and judged by its status only."""

from __future__ import annotations

import asyncio
import json
import logging
import ssl
from urllib.parse import parse_qsl

import pytest
import structlog
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from standardwebhooks.webhooks import Webhook

from galwad.events.call_events import EventCall, WebhookEvent
from galwad.events.receiver import SendResult, WebhookReceiver
from helpers.certificates import Authority
from helpers.http_server import HttpServer, answer

KEY = b"k" * 32
NUMBER = "+441632960001"
EVENT = WebhookEvent(
    "b2f7d2f6-8c0d-5d1e-9a61-2f1f0a7c1d11",
    "ringing",
    1_800_000_000.0,
    EventCall("20261125-101500-aaaaaaaa", 1_800_000_000.0, "Tax", "+441632960999", NUMBER),
)
OK = answer(b"")


@pytest.fixture
async def receiver(section):
    """Return a function that makes a receiver with these settings."""
    made = []

    def receiver(**values):
        made.append(WebhookReceiver(section(**values)))
        return made[-1]

    yield receiver
    for each in made:
        await each.close()


async def test_a_request_is_signed_and_has_the_id_of_its_event(receiver, server):
    server.answers = [OK]
    assert await receiver().send(EVENT) == SendResult("delivered")
    (request,) = server.received
    assert (request.method, request.target) == ("POST", "/calls")
    assert request.headers["content-type"] == "application/json"
    assert request.headers["webhook-id"] == request.headers["idempotency-key"] == EVENT.event_id
    assert Webhook(KEY).verify(request.body, request.headers) == json.loads(request.body)


async def test_a_repeated_request_has_the_same_id_and_content(receiver, server):
    server.answers = [answer(b"", "500 Oops"), OK]
    sender = receiver()
    await sender.send(EVENT)
    await sender.send(EVENT)
    first, second = server.received
    assert first.headers["webhook-id"] == second.headers["webhook-id"]
    assert first.body == second.body
    assert server.connections == 1


async def test_the_token_is_the_last_part_of_the_address(receiver, server, tmp_path):
    token = tmp_path / "token"
    token.write_text("a/../b?c\n")
    server.answers = [OK]
    await receiver(format="zammad", token_file=str(token)).send(EVENT)
    assert server.received[0].target == "/calls/a%2F..%2Fb%3Fc"
    assert server.received[0].json["event"] == "newCall"


async def test_without_a_key_a_request_is_not_signed(receiver, server):
    server.answers = [OK]
    await receiver(format="sipgate", secret_file=None).send(EVENT)
    (request,) = server.received
    assert request.headers["content-type"] == "application/x-www-form-urlencoded"
    assert ("event", "newCall") in parse_qsl(request.body.decode())
    assert "webhook-signature" not in request.headers
    assert request.headers["idempotency-key"] == EVENT.event_id


async def test_an_event_that_the_format_does_not_know_is_not_sent(receiver, server):
    paused = WebhookEvent("id", "paused", 1.0, EVENT.call)
    result = await receiver(format="sipgate").send(paused)
    assert (result.outcome, server.received) == ("refused", [])


@pytest.mark.parametrize(
    ("status", "outcome"),
    [
        ("200 OK", "delivered"),
        ("202 Accepted", "delivered"),
        ("204 No Content", "delivered"),
        ("400 Bad Request", "refused"),
        ("401 Unauthorized", "failed"),
        ("403 Forbidden", "failed"),
        ("404 Not Found", "failed"),
        ("410 Gone", "refused"),
        ("422 Unprocessable", "refused"),
        ("408 Request Timeout", "failed"),
        ("425 Too Early", "failed"),
        ("429 Too Many Requests", "failed"),
        ("500 Oops", "failed"),
        ("503 Unavailable", "failed"),
        ("304 Not Modified", "failed"),
    ],
)
async def test_the_status_of_the_answer_decides_the_outcome(receiver, server, status, outcome):
    server.answers = [answer(b"", status)]
    result = await receiver().send(EVENT)
    assert result.outcome == outcome
    assert result.reason == ("" if outcome == "delivered" else f"the receiver answers {status[:3]}")


async def test_a_redirect_is_not_followed(receiver, server):
    server.answers = [answer(b"", "307 Elsewhere", Location="/other")]
    result = await receiver().send(EVENT)
    assert result == SendResult("failed", "the receiver answers 307")
    assert [request.target for request in server.received] == ["/calls"]


@pytest.mark.parametrize(
    ("status", "asked", "rest_s"),
    [
        ("429 Too Many Requests", "17", 17.0),
        ("503 Unavailable", "90", 90.0),
        ("503 Unavailable", None, 0.0),
        ("429 Too Many Requests", None, 10.0),
        ("429 Too Many Requests", "soon", 10.0),
        ("500 Oops", "17", 0.0),
    ],
)
async def test_the_status_and_retry_after_of_an_answer_decide_how_long_sending_rests(
    receiver, server, status, asked, rest_s
):
    more = {} if asked is None else {"Retry-After": asked}
    server.answers = [answer(b"", status, **more)]
    assert (await receiver().send(EVENT)).rest_s == rest_s


async def test_an_endless_answer_is_given_up_and_its_status_counts(receiver, server):
    async def endless(_request, writer):
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while True:
            writer.write(b"1000\r\n" + bytes(0x1000) + b"\r\n")
            await writer.drain()

    server.handler = endless
    assert await receiver(timeout=30.0).send(EVENT) == SendResult("delivered")


@pytest.mark.parametrize(
    ("head", "result"),
    [
        (b"HTTP/1.1 200 OK\r\nX: ", SendResult("failed", "the server does not answer in time")),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n", SendResult("delivered")),
    ],
)
async def test_a_receiver_that_answers_byte_by_byte_is_given_up_in_time(
    receiver, server, head, result
):
    async def drip(_request, writer):
        writer.write(head)
        while True:
            writer.write(b"x")
            await writer.drain()
            await asyncio.sleep(0.02)

    server.handler = drip
    assert await receiver(timeout=0.5).send(EVENT) == result


async def test_a_receiver_that_is_down_is_a_failure(receiver, server):
    sender = receiver()
    await server.stop()
    assert await sender.send(EVENT) == SendResult("failed", "cannot connect to the server")


async def test_a_certificate_of_an_unknown_authority_is_refused(section, server, tmp_path):
    authority = Authority(tmp_path, "authority")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*authority.issue("receiver", "127.0.0.1"))
    await server.stop()
    await server.start(context)
    server.answers = [OK]
    strict = WebhookReceiver(section(url=server.url))
    result = await strict.send(EVENT)
    assert (result.outcome, server.received) == ("failed", [])
    assert "certificate is not accepted" in result.reason
    trusting = WebhookReceiver(section(url=server.url, tls={"ca": str(authority.path)}))
    assert await trusting.send(EVENT) == SendResult("delivered")
    for each in (strict, trusting):
        await each.close()


@pytest.mark.parametrize("setting", ["secret_file", "token_file"])
async def test_a_secret_that_is_repaired_is_used_without_a_restart(
    receiver, server, tmp_path, setting
):
    path = tmp_path / "later"
    server.answers = [OK]
    sender = receiver(**{setting: str(path)})
    result = await sender.send(EVENT)
    assert result == SendResult("failed", f"cannot read {path}: No such file or directory")
    path.write_text("a" * 44)
    assert await sender.send(EVENT) == SendResult("delivered")


async def test_a_certificate_file_that_is_missing_is_a_failure(receiver, server, tmp_path):
    result = await receiver(tls={"ca": str(tmp_path / "ca.pem")}).send(EVENT)
    assert (result.outcome, server.received) == ("failed", [])
    assert "cannot use the TLS files" in result.reason


async def sent_to_a_server_that_answers(data, settings):
    """Send an event to a server that answers with these octets; return the result."""
    server = HttpServer()
    await server.start()

    async def reply(_request, writer):
        writer.write(data)
        await writer.drain()
        writer.close()

    server.handler = reply
    receiver = WebhookReceiver(settings.model_copy(update={"url": server.url}))
    try:
        return await receiver.send(EVENT)
    finally:
        await receiver.close()
        await server.stop()


heads = st.sampled_from([b"", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 429 Busy\r\nRetry-After: "])


@given(heads, st.binary(max_size=200))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_any_answer_has_an_outcome_and_raises_no_error(section, head, rest):
    result = asyncio.run(sent_to_a_server_that_answers(head + rest, section()))
    assert result.outcome in {"delivered", "refused", "failed"}
    assert result.rest_s >= 0


async def test_neither_the_log_nor_a_reason_has_a_number_or_a_secret(
    receiver, server, caplog, tmp_path
):
    token = tmp_path / "token"
    token.write_text("hunter2")
    server.answers = [answer(NUMBER.encode(), "400 " + NUMBER)]
    logging.getLogger().setLevel(logging.WARNING)  # as in a real desk
    with structlog.testing.capture_logs() as logs:
        result = await receiver(format="zammad", token_file=str(token)).send(EVENT)
    assert result.reason == "the receiver answers 400"
    assert caplog.text + str(logs) == "[]"
