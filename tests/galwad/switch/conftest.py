import base64
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from galwad.settings import Settings, load
from galwad.switch.edge.phones import Phones
from helpers.switch import Centre
from telephony.sip.events import Address
from telephony.sip.message.messages import Request, parse_message

OFFICER = base64.b64encode(bytes(range(1, 33))).decode()


PHONE = Address("192.0.2.50", 5066)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """A centre with a trunk, two static phones, routes and destinations."""
    path = tmp_path / "galwad.toml"
    path.write_text(f"""
[node]
state = "{tmp_path}/state"
runtime = "{tmp_path}/run"
[sip]
listen = ["udp:127.0.0.1:0"]
digest = ["SHA-256", "MD5"]
[[trunks]]
name = "pstn"
peers = ["192.0.2.1"]
trusted = true
[[trunks]]
name = "pbx"
peers = ["192.0.2.20"]
trusted = true
[[trunks]]
name = "untrusted"
peers = ["192.0.2.2"]
source = "latch"
[[phones]]
extension = "201"
user = "sian"
ha1_md5 = "{"0" * 32}"
[[phones]]
extension = "202"
ha1_sha256 = "{"1" * 64}"
[[routes]]
called = "01970000000"
ring = ["201", "202", "209"]
line = "Council Tax"
[[routes]]
called = "0197*"
target = "sip:600@192.0.2.20"
[[routes]]
called = "4*"
target = "sip:192.0.2.21:5080"
[[destinations]]
match = "3*"
class = "department"
target = "sip:192.0.2.30"
[[destinations]]
match = "202"
class = "centre"
[[destinations]]
match = "299"
class = "payment"
target = "sip:pay@pbx.invalid"
[[retention]]
category = "general"
keep = "by hand"
[recording]
officer_key = "{OFFICER}"
payment_code_on = "*71"
payment_code_off = "*72"
""")
    return load(path)


@pytest.fixture
def phones(settings: Settings) -> Phones:
    return Phones(settings.node.state / "switch", settings.phones, settings.sip.realm)


@pytest.fixture
def register(phones: Phones) -> Callable[..., None]:
    """Bind an extension to a contact at a given time."""

    def bind(
        extension: str,
        contact: str,
        now: float,
        expires: int = 600,
        source: Address = PHONE,
        *,
        path: str = "",
        phones: Phones = phones,
    ) -> None:
        request = _register(extension, contact, expires)
        if path:
            request.headers.add("Path", path)
        phones.register(extension, request, source, now)

    return bind


def _register(extension: str, contact: str, expires: int) -> Request:
    message = parse_message(
        (
            "REGISTER sip:galwad SIP/2.0\r\n"
            "Via: SIP/2.0/UDP 192.0.2.50:5066;branch=z9hG4bK1\r\n"
            f"From: <sip:{extension}@galwad>;tag=1\r\nTo: <sip:{extension}@galwad>\r\n"
            f"Call-ID: {contact}\r\nCSeq: 1 REGISTER\r\n"
            f"Contact: <{contact}>;expires={expires}\r\nContent-Length: 0\r\n\r\n"
        ).encode()
    )
    assert isinstance(message, Request)
    return message


@pytest.fixture
async def centre(settings: Settings, phones: Phones) -> AsyncIterator[Centre]:
    """A switch without sockets; after the last BYE it must have no call and no open port."""
    centre = Centre(settings, phones)
    yield centre
    centre.end()
    assert centre.calls == {}
    assert centre.relay.open_legs == {}
