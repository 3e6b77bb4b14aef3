"""SIP over real TLS connections on loopback."""

from __future__ import annotations

import asyncio
import ssl
import warnings

import pytest

from net.tls import Tls, client_context, server_context
from telephony.aio.connection import EndReason
from telephony.sip.events import (
    AckReceived,
    Address,
    DialogEnded,
    DialogRequest,
    InviteAnswered,
    StandaloneRequest,
    StandaloneResponse,
)

LOCAL = Address("127.0.0.1", 0, "TLS")


@pytest.fixture(scope="module")
def tls(authority):
    """Make the `Tls` of an address: `tls("name", "alternative", …, mutual=…)`."""

    def make(name, *alternatives, mutual=False, trusted=None):
        certificate, key = authority.issue(name, *alternatives)
        return Tls(
            server_context(certificate, key, client_ca=authority.path if mutual else None),
            client_context(ca=trusted or authority.path, certificate=certificate, key=key),
        )

    return make


async def test_a_call_runs_over_tls_in_both_directions(agents, tls):
    alice = await agents(LOCAL, tls=tls("alice", "127.0.0.1"))
    bob = await agents(LOCAL, tls=tls("bob", "127.0.0.1"))
    alice.answer = bob.answer = True
    client = alice.invite(bob.address)
    answered = await alice.wait(InviteAnswered)
    assert client.request.via.transport == "TLS"
    answered.dialog.ack(client, now=alice.now)
    alice.transport.flush()
    dialog = (await bob.wait(AckReceived)).dialog
    bob.request(dialog, "INFO")
    await alice.wait(DialogRequest)
    alice.request(answered.dialog, "BYE")
    await bob.wait(DialogEnded)


async def test_a_peer_whose_certificate_has_another_name_is_refused(agents, tls):
    alice = await agents(LOCAL, tls=tls("alice", "127.0.0.1"))
    bob = await agents(LOCAL, tls=tls("bob", "pbx.example.com"))
    bob.answer = True
    alice.options(bob.address._replace(name="pbx.example.com"))
    assert (await alice.wait(StandaloneResponse)).status == 200
    for wrong in ("", "trunk.example.com"):
        alice.options(bob.address._replace(name=wrong))
        assert (await alice.wait(StandaloneResponse)).status == 503
    assert alice.transport.connections.endings[EndReason.REFUSED] == 2


async def test_a_certificate_of_an_untrusted_authority_is_refused(agents, tls, make_authority):
    alice = await agents(LOCAL, tls=tls("alice", trusted=make_authority("other").path))
    bob = await agents(LOCAL, tls=tls("bob", "127.0.0.1"))
    alice.options(bob.address)
    assert (await alice.wait(StandaloneResponse)).status == 503


async def test_mutual_tls_refuses_a_peer_without_a_certificate(agents, tls, authority):
    bob = await agents(LOCAL, tls=tls("bob", "127.0.0.1", mutual=True))
    bob.answer = True
    bare = await agents(LOCAL, tls=Tls(client=client_context(ca=authority.path)))
    bare.options(bob.address)
    assert (await bare.wait(StandaloneResponse)).status == 503
    alice = await agents(LOCAL, tls=tls("alice", "127.0.0.1"))
    alice.options(bob.address)
    assert (await alice.wait(StandaloneResponse)).status == 200


async def test_requests_to_a_peer_proven_by_mutual_tls_reuse_its_connection(agents, tls):
    alice = await agents(LOCAL, tls=tls("alice", "127.0.0.1", mutual=True))
    bob = await agents(LOCAL, tls=tls("bob", "127.0.0.1", mutual=True))
    alice.answer = bob.answer = True
    alice.options(bob.address)
    await alice.wait(StandaloneResponse)
    bob.options(alice.address)
    assert (await bob.wait(StandaloneResponse)).status == 200
    assert (await alice.wait(StandaloneRequest)).source == bob.address


async def test_requests_to_an_unproven_peers_address_use_a_new_connection(agents, tls):
    alice = await agents(LOCAL, tls=tls("alice", "127.0.0.1"))
    bob = await agents(LOCAL, tls=tls("bob", "127.0.0.1"))
    alice.answer = bob.answer = True
    alice.options(bob.address)
    await alice.wait(StandaloneResponse)
    bob.options(alice.address)
    assert (await bob.wait(StandaloneResponse)).status == 200
    assert (await alice.wait(StandaloneRequest)).source.flow


async def test_a_phone_without_a_certificate_connects_but_accepts_no_connection(
    agents, tls, authority
):
    phone = await agents(LOCAL, tls=Tls(client=client_context(ca=authority.path)))
    server = await agents(LOCAL, tls=tls("server", "127.0.0.1"))
    phone.answer = server.answer = True
    phone.options(server.address)
    await phone.wait(StandaloneResponse)
    source = (await server.wait(StandaloneRequest)).source
    server.options(source)
    assert (await server.wait(StandaloneResponse)).status == 200
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection(*phone.address[:2])


async def test_tls_1_1_and_plain_text_are_refused(agents, tls):
    server = await agents(LOCAL, tls=tls("server", "127.0.0.1"))
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with warnings.catch_warnings(action="ignore"):
        context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
    with pytest.raises((ssl.SSLError, ConnectionError)):
        await asyncio.open_connection(*server.address[:2], ssl=context)
    reader, writer = await asyncio.open_connection(*server.address[:2])
    writer.write(b"OPTIONS sip:a SIP/2.0\r\n\r\n")
    async with asyncio.timeout(60):
        assert not (await reader.read()).startswith(b"SIP")
    writer.close()
    await writer.wait_closed()


@pytest.mark.parametrize(
    ("suites", "accepted"),
    [
        ("ECDHE+AESGCM", True),
        ("ECDHE+CHACHA20", True),
        ("ECDHE+AES:!AESGCM:!AESCCM", False),
        ("kRSA+AES", False),
    ],
)
async def test_of_tls_1_2_only_suites_with_forward_secrecy_and_aead_are_accepted(
    agents, tls, suites, accepted
):
    server = await agents(LOCAL, tls=tls("server", "127.0.0.1"))
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(suites)
    if accepted:
        _, writer = await asyncio.open_connection(*server.address[:2], ssl=context)
        writer.close()
        await writer.wait_closed()
        return
    with pytest.raises((ssl.SSLError, ConnectionError)):
        await asyncio.open_connection(*server.address[:2], ssl=context)


async def test_a_server_with_only_cbc_suites_is_refused(agents, tls, authority):
    certificate, key = authority.issue("bob", "127.0.0.1")
    weak = server_context(certificate, key)
    weak.maximum_version = ssl.TLSVersion.TLSv1_2
    weak.set_ciphers("ECDHE+AES:!AESGCM:!AESCCM")
    bob = await agents(LOCAL, tls=Tls(weak))
    alice = await agents(LOCAL, tls=tls("alice", "127.0.0.1"))
    alice.options(bob.address)
    assert (await alice.wait(StandaloneResponse)).status == 503


async def test_a_renewed_certificate_is_used_for_the_next_connection(agents, tls, authority):
    bob_tls = tls("bob", "old.example.com")
    bob = await agents(LOCAL, tls=bob_tls)
    bob.answer = True
    alice = await agents(LOCAL, tls=tls("alice", "127.0.0.1"))
    bob_tls.server.load_cert_chain(*authority.issue("bob", "new.example.com"))
    alice.options(bob.address._replace(name="new.example.com"))
    assert (await alice.wait(StandaloneResponse)).status == 200
