"""Requests to a server that cannot be trusted: what it answers, and what comes out of it."""

from __future__ import annotations

import asyncio
import gzip
import json
import logging
import ssl
import time
from email.utils import formatdate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.section import TlsSection
from helpers.certificates import Authority
from helpers.http_server import HttpServer, answer
from net.errors import ServerBusyError, ServerError
from net.json_client import (
    Authentication,
    HttpAnswer,
    JsonClient,
    JsonRequest,
    parse_json,
    requested_rest,
)

NUMBER = "+441632960001"


@pytest.fixture
async def client():
    client = JsonClient(
        Authentication(), TlsSection().context(), connections=2, empty_statuses=[404]
    )
    yield client
    await client.close()


def search(server, path="/people", **more):
    return JsonRequest("POST", f"{server.url}{path}", **more)


async def test_a_request_is_sent_with_query_headers_and_body_and_returns_the_document(
    client, server
):
    server.answers = [answer({"people": []})]
    request = search(
        server, query=[("a", "1"), ("a", NUMBER)], headers={"X-App": "galwad"}, body=[NUMBER]
    )
    assert await client.send(request) == {"people": []}
    (got,) = server.received
    assert (got.method, got.path, got.query) == ("POST", "/people", [("a", "1"), ("a", NUMBER)])
    assert (got.json, got.headers["x-app"]) == ([NUMBER], "galwad")
    assert got.headers["accept"] == "application/json"


async def test_the_query_of_an_address_is_kept(client, server):
    server.answers = [answer({})]
    await client.send(search(server, "/people?page=2"))
    assert server.received[0].query == [("page", "2")]


@pytest.mark.parametrize("status", ["404 Not Found", "204 No Content"])
async def test_a_status_that_means_nothing_was_found_has_no_document(client, server, status):
    server.answers = [answer(b"", status)]
    assert await client.send(search(server)) is None


@pytest.mark.parametrize(
    ("sent", "reason"),
    [
        (answer(b"<html>Sign in</html>"), "the answer is not JSON that can be read"),
        (answer(b'{"a": 1, "a": 2}'), "the answer is not JSON that can be read"),
        (answer(b"[" * 100_000), "the answer is not JSON that can be read"),
        (answer(b"NaN"), "the answer is not JSON that can be read"),
        (answer(b"\xff\xfe"), "the answer is not JSON that can be read"),
        (answer(b"9" * 5000), "the answer is not JSON that can be read"),
        (answer(b" " * ((1 << 20) + 1)), "the answer is larger than 1 MB"),
        (answer(b"", "500 Oops"), "the server answers 500"),
        (answer(b"", "403 Forbidden"), "the server answers 403"),
        (answer(b"", "401 Unauthorized"), "the server refuses the credentials (401)"),
        (answer(b"", "503 Unavailable"), "the server answers 503"),
        (
            b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n",
            "the request failed: RemoteProtocolError",
        ),
        (b"SSH-2.0-OpenSSH_9\r\n\r\n", "the request failed: RemoteProtocolError"),
        (
            answer(gzip.compress(b" " * (50 << 20)), Content_Encoding="gzip"),
            "the answer is compressed, although that was not asked for",
        ),
    ],
)
async def test_each_wrong_answer_is_an_error_that_says_what_is_wrong(client, server, sent, reason):
    async def once(_request, writer):
        writer.write(sent)
        writer.close()

    server.handler = once
    with pytest.raises(ServerError) as caught:
        await client.send(search(server))
    assert str(caught.value) == reason


async def test_an_exchange_sends_other_content_and_returns_an_accepted_failure(client, server):
    server.answers = [answer(b"a: 1", "400 Bad Request", Content_Type="text/x")]
    request = search(server, content=b"x: 1\r\n", headers={"Content-Type": "text/x"})
    got = await client.exchange(request, (400,))
    assert got == HttpAnswer(400, "text/x", b"a: 1")
    (sent,) = server.received
    assert (sent.body, sent.headers["content-type"]) == (b"x: 1\r\n", "text/x")
    with pytest.raises(ServerError, match="the server answers 400"):
        await client.exchange(request, (409,))


async def test_an_exchange_returns_an_accepted_300_without_a_location(client, server):
    server.answers = [answer(b"[]", "300 Multiple Choices")]
    assert (await client.exchange(search(server), (300,))).body == b"[]"


@pytest.mark.parametrize("status", ["429 Busy", "302 Found"])
async def test_an_exchange_raises_an_error_for_a_429_or_a_redirect_even_if_accepted(
    client, server, status
):
    server.answers = [answer(b"", status, Location="/x")]
    with pytest.raises(ServerError):
        await client.exchange(search(server), (302, 429))


async def test_a_redirect_is_not_followed(client, server):
    other = HttpServer()
    await other.start()
    other.answers = [answer({})]
    for status in ("301 Moved", "302 Found", "307 Temporary Redirect", "308 Permanent Redirect"):
        server.answers = [answer(b"", status, Location=f"{other.url}/people")]
        with pytest.raises(ServerError, match=rf"redirects \({status[:3]}\)"):
            await client.send(search(server))
    assert other.received == []
    await other.stop()


async def test_an_endless_answer_is_given_up_after_a_megabyte(client, server):
    async def endless(_request, writer):
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while True:
            writer.write(b"4000\r\n" + b"1" * 0x4000 + b"\r\n")
            await writer.drain()

    server.handler = endless
    with pytest.raises(ServerError, match="larger than 1 MB"):
        await client.send(search(server))


async def test_a_server_that_answers_slowly_or_not_at_all_is_given_up_in_time(
    client, server, monkeypatch
):
    async def drip(_request, writer):
        while True:
            writer.write(b"H")
            await asyncio.sleep(0.02)

    server.handler = drip
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.3):
            await client.send(search(server))
    server.handler = None
    server.answers = [answer({"fine": True})]
    assert await client.send(search(server)) == {"fine": True}  # the connection is free again


async def test_requests_that_are_cancelled_use_up_no_connections(client, server):
    async def late(_request, _writer):
        await asyncio.sleep(0.005)
        return answer({})

    server.handler = late
    for number in range(60):
        task = asyncio.create_task(client.send(search(server)))
        await asyncio.sleep(number % 10 / 1000)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    async with asyncio.timeout(60):
        assert await client.send(search(server)) == {}


async def test_a_server_that_is_down_raises_server_error(client, server):
    request = search(server)
    await server.stop()
    with pytest.raises(ServerError, match="cannot connect to the server"):
        await client.send(request)


@pytest.mark.parametrize(
    ("status", "asked", "seconds"),
    [
        (429, "17", 17.0),
        (503, "120", 120.0),
        (429, "", 10.0),
        (429, "soon", 10.0),
        (429, "-5", 10.0),
        (429, "9" * 400, 999_999_999.0),
        (503, "", None),
        (500, "17", None),
        (200, "17", None),
    ],
)
def test_a_rest_is_requested_by_429_or_by_503_with_retry_after(status, asked, seconds):
    assert requested_rest(status, {"Retry-After": asked} if asked else {}) == seconds


def test_a_rest_can_end_at_a_date():
    rest_s = requested_rest(429, {"Retry-After": formatdate(time.time() + 60, usegmt=True)})
    assert rest_s is not None
    assert 55 < rest_s <= 60
    assert requested_rest(429, {"Retry-After": formatdate(0, usegmt=True)}) == 0


async def test_a_busy_server_raises_an_error_with_the_seconds(client, server):
    server.answers = [answer(b"", "429 Too Many Requests", Retry_After="17")]
    with pytest.raises(ServerBusyError) as caught:
        await client.send(search(server))
    assert caught.value.seconds == 17


@pytest.fixture
async def secure(tmp_path):
    """A TLS server, and the authority that has signed its certificate."""
    authority = Authority(tmp_path, "authority")
    certificate, key = authority.issue("crm", "127.0.0.1")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server = HttpServer()
    await server.start(context)
    server.answers = [answer({"fine": True})]
    yield server, authority
    await server.stop()


async def test_a_certificate_of_an_unknown_authority_is_refused(client, secure):
    server, _ = secure
    with pytest.raises(ServerError, match="certificate is not accepted: "):
        await client.send(search(server))
    assert server.received == []


async def test_the_authority_in_the_settings_is_accepted_and_the_name_must_fit(secure):
    server, authority = secure
    context = TlsSection(ca=authority.path).context()
    client = JsonClient(Authentication(), context, connections=1)
    assert await client.send(search(server)) == {"fine": True}
    other = JsonRequest("POST", server.url.replace("127.0.0.1", "localhost"))
    with pytest.raises(ServerError, match="certificate is not accepted"):
        await client.send(other)
    await client.close()


def test_a_tls_file_that_cannot_be_used_is_an_error(tmp_path):
    broken = tmp_path / "ca.pem"
    for files in (TlsSection(ca=broken), TlsSection(certificate=broken, key=broken)):
        with pytest.raises(ServerError, match="cannot use the TLS files: No such file"):
            files.context()
    broken.write_text("not PEM")
    with pytest.raises(ServerError, match="cannot use the TLS files"):
        TlsSection(ca=broken).context()


async def test_no_log_has_the_number_that_was_searched_for(client, server, caplog):
    logging.getLogger().setLevel(logging.WARNING)
    server.answers = [answer({}), answer(b"", "500 Oops")]
    await client.send(search(server, query=[("phone", NUMBER)]))
    with pytest.raises(ServerError):
        await client.send(search(server, query=[("phone", NUMBER)]))
    assert "1632" not in caplog.text


@given(st.binary(max_size=200) | st.text(st.sampled_from('[]{}",:0123456789.eE+-truefalsn ')))
def test_any_text_gives_a_document_or_a_server_error(text):
    data = text if isinstance(text, bytes) else text.encode()
    try:
        document = parse_json(data)
    except ServerError:
        return
    json.dumps(document)
