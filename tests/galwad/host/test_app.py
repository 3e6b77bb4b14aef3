"""The desk as a process that systemd starts, and over TLS."""

from __future__ import annotations

import asyncio
import base64
import datetime as dt
import os
import re
import signal
import socket
import ssl
import sys
from importlib.metadata import version
from ipaddress import ip_address

import httpx2
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from galwad.administration import Administration
from galwad.api.app import ENDPOINT_MODULES, OFTEN_USED
from galwad.people.user import User
from helpers.desk import changed
from helpers.loopback import free_port

PATIENCE_S = 120.0
PASSWORD = "correct horse battery"


def self_signed(folder):
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(hours=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False
        )
        .sign(key, hashes.SHA256())
    )
    (folder / "tls.crt").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    (folder / "tls.key").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return folder / "tls.crt", folder / "tls.key"


async def test_over_tls_a_browser_signs_in_with_a_host_bound_cookie(running):
    certificate, key = self_signed(running.folder)
    await running.stop()
    running.settings = changed(
        running.settings, desk={"tls_certificate": certificate, "tls_key": key}
    )
    await running.start()
    url = running.url.replace("http:", "https:")
    trust = ssl.create_default_context(cafile=str(certificate))
    async with httpx2.AsyncClient(base_url=url, verify=trust, headers={"Origin": url}) as client:
        reply = await client.post("/api/v1/login", json={"user": "sian", "password": PASSWORD})
        assert reply.headers["set-cookie"].startswith("__Host-galwad=")
        assert (await client.get("/api/v1/me")).json()["user"] == "sian"


async def test_a_tls_1_2_client_connects_with_aead_and_not_with_cbc(running):
    certificate, key = self_signed(running.folder)
    await running.stop()
    running.settings = changed(
        running.settings, desk={"tls_certificate": certificate, "tls_key": key}
    )
    await running.start()
    client = ssl.create_default_context(cafile=str(certificate))
    client.maximum_version = ssl.TLSVersion.TLSv1_2
    address = "127.0.0.1", int(running.url.rpartition(":")[2])
    client.set_ciphers("ECDHE-ECDSA-AES128-GCM-SHA256")
    _, writer = await asyncio.open_connection(*address, ssl=client)
    writer.close()
    await writer.wait_closed()
    client.set_ciphers("ECDHE-ECDSA-AES128-SHA256:ECDHE-ECDSA-AES256-SHA384")
    with pytest.raises((ssl.SSLError, ConnectionError)):
        await asyncio.open_connection(*address, ssl=client)


@pytest.mark.parametrize("before", [b"", b"GET /api/v1/health HTTP/1.1\r\nHost: a\r\n\r\n"])
async def test_a_request_with_two_lengths_gets_400_and_the_bytes_after_it_are_no_request(
    running, before
):
    smuggled = b"GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n"
    length = str(5 + len(smuggled)).encode()
    attack = (
        before + b"POST /api/v1/login HTTP/1.1\r\nHost: a\r\nContent-Length: " + length
        + b"\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + smuggled
    )  # fmt: skip
    reader, writer = await asyncio.open_connection("127.0.0.1", int(running.url.rpartition(":")[2]))
    writer.write(attack)
    async with asyncio.timeout(PATIENCE_S):
        answers = await reader.read()
    writer.close()
    await writer.wait_closed()
    statuses = re.findall(rb"HTTP/1.1 (\d+)", answers)
    assert statuses == ([b"200", b"400"] if before else [b"400"])


async def test_only_a_signed_in_user_learns_the_version_of_the_software(running):
    anybody = running.client()
    pages = ("/", "/api/v1/health", "/api/v1/openapi.json", "/api/v1/metrics", "/nowhere",
             "/static/app.js", "/api/v1/strings/en")  # fmt: skip
    for path in pages:
        reply = await anybody.get(path)
        assert version("galwad") not in reply.text, path
        assert version("galwad") not in str(reply.headers), path
    assert (await anybody.get("/api/v1/health")).json()["version"] is None
    await anybody.post("/api/v1/login", json={"user": "sian", "password": PASSWORD})
    health = (await anybody.get("/api/v1/health")).json()
    assert health["version"] == version("galwad")


@pytest.fixture
def settings(tmp_path):
    port = free_port()
    (tmp_path / "run").mkdir()
    officer = base64.b64encode(b"\x01" * 32).decode()
    file = tmp_path / "galwad.toml"
    file.write_text(
        f"""
        [node]
        name = "test-1"
        state = "{tmp_path}/state"
        runtime = "{tmp_path}/run"
        [sip]
        listen = ["udp:127.0.0.1:0"]
        [[retention]]
        category = "general"
        keep = "by hand"
        [recording]
        officer_key = "{officer}"
        [desk]
        listen = "127.0.0.1:{port}"
        """
    )
    return file, port


def test_often_used_endpoints_match_no_path_of_another_module():
    first = [(module, route) for module in OFTEN_USED for route in module.router.routes]
    checked = 0
    for module in ENDPOINT_MODULES:
        for route in module.router.routes:
            path = re.sub(r"{[^}]+}", "20261125-101500-abcdefgh", route.path)
            for other, taker in first:
                taken = taker.path_regex.fullmatch(path) and taker.methods & route.methods
                assert other is module or not taken, f"{route.path} and {taker.path}"
                checked += bool(taken)
    assert checked >= len(first)


async def test_sigterm_stops_the_desk_while_an_event_stream_is_open(settings, tmp_path):
    file, port = settings
    administration = Administration(tmp_path / "state" / "desk" / "galwad.db", "test-1")
    async with administration.users() as users:
        await users.add(User("sian", "advisor", extension="201"), PASSWORD)
    loop = asyncio.get_running_loop()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as notify:
        notify.bind(str(tmp_path / "notify"))
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "galwad", "serve", "--only", "desk", "--config", str(file)),
            env={**os.environ, "NOTIFY_SOCKET": str(tmp_path / "notify")},
            stderr=asyncio.subprocess.PIPE,
        )
        try:
            async with asyncio.timeout(PATIENCE_S):
                assert b"READY=1" in await loop.sock_recv(notify, 4096)
                async with httpx2.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:
                    login = {"user": "sian", "password": PASSWORD}
                    assert (await client.post("/api/v1/login", json=login)).status_code == 200
                    async with client.stream("GET", "/api/v1/events") as stream:
                        lines = stream.aiter_lines()
                        assert await anext(lines) == "event: snapshot"
                        process.send_signal(signal.SIGTERM)
                        rest = [line async for line in lines]
                        assert rest[-1] == ""
                _, journal = await process.communicate()
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
    assert process.returncode == 0
    assert b'"event": "desk.ready"' in journal
    assert b'"event": "desk.stopping"' in journal
