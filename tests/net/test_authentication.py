"""Authentication at a directory's server: a password, a token, or OAuth 2."""

from __future__ import annotations

import asyncio
from base64 import b64decode
from urllib.parse import parse_qs

import pytest

from config.section import TlsSection
from helpers.desk import Clock
from helpers.http_server import HttpServer, answer
from net.authentication import (
    BasicAuthentication,
    BearerAuthentication,
    ClientCredentials,
    read_secret,
)
from net.errors import ServerBusyError, ServerError
from net.json_client import Authentication, JsonClient, JsonRequest

SECRET = "correct horse £"


@pytest.fixture
def secret(tmp_path):
    path = tmp_path / "secret"
    path.write_text(f"{SECRET}\n", encoding="utf-8")
    return path


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
async def tokens():
    """A server that issues tokens: t1, t2 and so on, each for an hour."""
    server = HttpServer()
    await server.start()

    async def issue(_request, _writer):
        await asyncio.sleep(0.01)
        token = f"t{len(server.received)}"
        return answer({"access_token": token, "token_type": "bearer", "expires_in": 3600})

    server.handler = issue
    yield server
    await server.stop()


@pytest.fixture
async def credentials(tokens, secret, clock):
    found = ClientCredentials(
        *(TlsSection().context(), f"{tokens.url}/token", "galwad", secret),
        scope="people.read",
        clock=clock,
    )
    yield found
    await found.close()


async def test_a_password_and_a_token_are_read_from_their_files_each_time(secret):
    scheme, pair = (await BasicAuthentication("galwad", secret).header()).split(" ")
    assert (scheme, b64decode(pair).decode()) == ("Basic", f"galwad:{SECRET}")
    bearer = BearerAuthentication(secret, "token")
    assert await bearer.header() == f"token {SECRET}"
    secret.write_text("another")
    assert await bearer.header() == "token another"
    assert await Authentication().header() is None


@pytest.mark.parametrize("content", [b"", b"\n", b"one\ntwo", b"\xff\xfe"])
def test_a_file_without_a_secret_of_one_line_is_an_error_that_names_only_the_file(
    tmp_path, content
):
    path = tmp_path / "secret"
    path.write_bytes(content)
    with pytest.raises(ServerError, match=str(path)) as caught:
        read_secret(path)
    assert "one" not in str(caught.value).replace("one line", "")
    with pytest.raises(ServerError, match="No such file"):
        read_secret(tmp_path / "missing")


async def test_a_token_is_asked_for_with_the_clients_id_and_secret(credentials, tokens):
    assert await credentials.header() == "Bearer t1"
    (asked,) = tokens.received
    assert asked.path == "/token"
    assert parse_qs(asked.body.decode()) == {
        "grant_type": ["client_credentials"],
        "client_id": ["galwad"],
        "client_secret": [SECRET],
        "scope": ["people.read"],
    }


async def test_many_requests_at_once_ask_for_one_token(credentials, tokens):
    found = await asyncio.gather(*(credentials.header() for _ in range(20)))
    assert set(found) == {"Bearer t1"}
    assert len(tokens.received) == 1


async def test_a_token_is_replaced_a_minute_before_it_expires(credentials, clock):
    assert await credentials.header() == "Bearer t1"
    clock.now += 3539
    assert await credentials.header() == "Bearer t1"
    clock.now += 1
    assert await credentials.header() == "Bearer t2"


async def test_a_token_that_the_server_refuses_is_replaced_once(credentials, server, tokens):
    async def people(request, _writer):
        fine = request.headers["authorization"] == "Bearer t2"
        return answer({"fine": True}) if fine else answer(b"", "401 Unauthorized")

    server.handler = people
    client = JsonClient(credentials, TlsSection().context(), connections=1)
    assert await client.send(JsonRequest("GET", server.url)) == {"fine": True}
    credentials.rejected()
    with pytest.raises(ServerError, match=r"refuses the credentials \(401\)"):
        await client.send(JsonRequest("GET", server.url))  # t3, then t4
    assert len(tokens.received) == 4
    await client.close()


@pytest.mark.parametrize(
    ("sent", "reason"),
    [
        (
            answer({"error": "invalid_client"}, "401 Unauthorized"),
            r"the server answers 401 \(invalid_client\)$",
        ),
        (answer({"error": f"secret {SECRET}"}, "400 Bad Request"), "the server answers 400$"),
        (answer({"error": ["invalid_client"]}, "400 Bad Request"), "the server answers 400$"),
        (answer(["invalid_client"], "400 Bad Request"), "the server answers 400$"),
        (answer(b"<html>", "500 Oops"), "the server answers 500$"),
        (answer({"token": "x"}), "the answer has none"),
        (answer(["x"]), "the answer has none"),
        (answer({"access_token": "a\r\nX-Evil: 1"}), "the answer has none"),
        (answer({"access_token": 7}), "the answer has none"),
        (answer({"access_token": "x", "token_type": "mac"}), "a token of another kind"),
        (answer(b"<html>"), "not JSON"),
        (answer(b"", "302 Found", Location="http://127.0.0.2/"), "the server answers 302"),
    ],
)
async def test_a_server_that_issues_no_token_is_an_error_without_the_secret(
    credentials, tokens, sent, reason
):
    tokens.handler, tokens.answers = None, [sent]
    with pytest.raises(ServerError, match=reason) as caught:
        await credentials.header()
    assert SECRET not in str(caught.value)


async def test_a_token_that_fails_its_check_is_neither_returned_nor_kept(tokens, secret):
    def refuse(document):
        assert document["access_token"].startswith("t")
        raise ServerError("for another server")

    url = f"{tokens.url}/token"
    refused = ClientCredentials(TlsSection().context(), url, "galwad", secret, check=refuse)
    for _ in range(2):
        with pytest.raises(ServerError, match="for another server"):
            await refused.header()
    assert len(tokens.received) == 2
    await refused.close()


@pytest.mark.parametrize("lifetime", ["soon", -5, 1e99, None, "NaN"])
async def test_a_token_with_an_unusable_lifetime_is_used_for_four_minutes(
    credentials, tokens, clock, lifetime
):
    tokens.handler = None
    tokens.answers = [answer({"access_token": "x", "expires_in": lifetime})]
    await credentials.header()
    clock.now += 200
    await credentials.header()
    assert len(tokens.received) == 1
    clock.now += 100
    await credentials.header()
    assert len(tokens.received) == 2


async def test_a_token_server_that_is_busy_raises_server_busy_error(credentials, tokens):
    tokens.handler, tokens.answers = None, [answer(b"", "429 Slow Down", Retry_After="9")]
    with pytest.raises(ServerBusyError) as caught:
        await credentials.header()
    assert caught.value.seconds == 9
