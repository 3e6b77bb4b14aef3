"""The SIP addresses of the settings as open sockets, with their certificates."""

from __future__ import annotations

import asyncio
import ssl

import pytest
import structlog.testing

from galwad.settings.switch import SipSection
from galwad.switch.edge.listening import Listening, supported_by
from telephony.aio.transport import SipTransport
from telephony.sip.endpoint import Endpoint


@pytest.fixture
async def start(tmp_path):
    """Listen by these settings, and return the ports by transport."""
    made = []

    async def listen(**fields):
        transport = SipTransport(Endpoint(), lambda event: None)
        made.append(transport)
        listening = Listening(SipSection(**fields), transport)
        with structlog.testing.capture_logs() as logs:
            await listening.start()
        return listening, {row["transport"]: row["port"] for row in logs}

    yield listen
    for transport in made:
        transport.close()
    await asyncio.sleep(0)


async def serial_shown(port):
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
    shown = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    writer.close()
    await writer.wait_closed()
    return shown


async def test_udp_tcp_and_tls_listen_addresses_are_opened(start, make_authority):
    certificate, key = make_authority("one").issue("one")
    _, ports = await start(
        listen=["udp:127.0.0.1:0", "tcp:127.0.0.1:0", "tls:127.0.0.1:0", "tcp:[::1]:0"],
        tls_certificate=certificate,
        tls_key=key,
    )
    assert set(ports) == {"udp", "tcp", "tls"}


async def test_a_reload_presents_a_renewed_certificate_but_not_a_damaged_one(start, make_authority):
    authority = make_authority("one")
    certificate, key = authority.issue("two")
    listening, ports = await start(
        listen=["tls:127.0.0.1:0"], tls_certificate=certificate, tls_key=key
    )
    first = await serial_shown(ports["tls"])
    authority.issue("two")
    listening.reload()
    second = await serial_shown(ports["tls"])
    assert second != first
    key.write_text("spoilt")
    with structlog.testing.capture_logs() as logs:
        listening.reload()
    assert [row["event"] for row in logs] == ["sip.certificate_refused"]
    assert await serial_shown(ports["tls"]) == second


async def test_a_missing_certificate_prevents_the_start(start, tmp_path):
    with pytest.raises(OSError, match="No such file"):
        await start(
            listen=["tls:127.0.0.1:0"],
            tls_certificate=tmp_path / "none.crt",
            tls_key=tmp_path / "none.key",
        )


@pytest.mark.parametrize(("prack", "there"), [(True, True), (False, False)])
def test_reliable_provisional_responses_can_be_turned_off(prack, there):
    sip = SipSection.model_validate({"listen": ("udp:127.0.0.1:0",), "prack": prack})
    assert ("100rel" in supported_by(sip)) is there
    assert "timer" in supported_by(sip)
