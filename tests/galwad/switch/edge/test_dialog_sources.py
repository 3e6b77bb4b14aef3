"""Requests within a dialog from other hosts than the peer's."""

import itertools
import time

import pytest

from galwad.messages import PhoneCredentials
from galwad.switch.edge.admission import AdmissionControl, DialogSources
from galwad.switch.edge.guessing import GuessLimits
from helpers.sip_messages import request_of, response_of
from helpers.switch import SDP, SWITCH, sdp
from telephony.sip.events import Address
from telephony.sip.ua.auth import DigestClient, ha1

FOREIGN = Address("203.0.113.66", 5060)
numbers = itertools.count(900)


def account(extension):
    secret = ha1(extension, "galwad", "pw", "SHA-256")
    return PhoneCredentials(extension, user="", ha1_sha256=secret)


@pytest.fixture
async def guarded(centre, settings, phones):
    """A centre that decides about foreign hosts as the daemon does; 209 has a password."""
    phones.set_accounts(
        [PhoneCredentials("209", "", ha1_sha256=ha1("209", "galwad", "pw", "SHA-256"))]
    )
    sources = DialogSources(
        settings,
        phones,
        AdmissionControl(settings, phones, b"s" * 32, GuessLimits(phones.known, lambda *_: None)),
        lambda call_id: centre.calls[call_id].admission,
        centre.links.alarm,
    )
    centre.endpoint.check_sources(sources.check)
    return centre


@pytest.fixture
async def talking(guarded, register):
    """A call from the trunk to the phone 209: the trunk and the phone."""
    trunk = guarded.phone("192.0.2.1", "01632960001")
    phone = guarded.phone("192.0.2.209", "209", register)
    trunk.call("01970000000")
    return trunk, phone


def written(dialog, method, source, *headers, body=b""):
    """Return a request that has the identifiers of the peer's dialog, as `source` would send it."""
    number = next(numbers)
    lines = [
        f"{method} {dialog.remote_target} SIP/2.0",
        f"Via: SIP/2.0/UDP {source.host}:{source.port};branch=z9hG4bK{number}",
        f"From: {dialog.local}",
        f"To: {dialog.remote}",
        f"Call-ID: {dialog.call_id}",
        f"CSeq: {number} {method}",
        f"Contact: <sip:x@{source.host}>",
        *(f"{name}: {value}" for name, value in headers),
        f"Content-Length: {len(body)}",
    ]
    return "\r\n".join([*lines, "", ""]).encode() + body


def send(centre, data, source):
    """Let a datagram arrive from `source`; return the responses that go back there."""
    centre.endpoint.receive(data, source, SWITCH, time.monotonic())
    centre.flush()
    waiting = centre.endpoint.outgoing()
    return [response_of(each.data) for each in waiting if each.destination.host == source.host]


REQUESTS = [
    ("INVITE", SDP, sdp(FOREIGN.host)),
    ("UPDATE", SDP, sdp(FOREIGN.host)),
    ("BYE", (), b""),
    ("REFER", (("Refer-To", "<sip:300@192.0.2.30>"),), b""),
    ("INFO", (("Record", "on"),), b""),
]


@pytest.mark.parametrize(("method", "headers", "body"), REQUESTS)
async def test_a_foreign_request_in_a_trunks_dialog_gets_403_and_changes_nothing(
    guarded, talking, method, headers, body
):
    trunk, _ = talking
    (call,) = guarded.calls.values()
    before = call.state()
    data = written(trunk.dialogs[-1], method, FOREIGN, *headers, body=body)
    (response,) = send(guarded, data, FOREIGN)
    assert response.status == 403
    assert call.state() == before
    assert guarded.links.alarms == ["dialog.foreign_request"]
    trunk.ask("INFO")  # its CSeq number is still the next one
    assert trunk.statuses[-1] == 200


@pytest.mark.parametrize(("method", "headers", "body"), REQUESTS)
async def test_a_foreign_request_in_a_phones_dialog_is_challenged_and_changes_nothing(
    guarded, talking, method, headers, body
):
    _, phone = talking
    (call,) = guarded.calls.values()
    before = call.state()
    data = written(phone.dialogs[-1], method, FOREIGN, *headers, body=body)
    (response,) = send(guarded, data, FOREIGN)
    assert response.status == 401
    assert call.state() == before


async def test_a_phone_that_moved_is_accepted_with_its_password_and_gets_requests_there(
    guarded, talking
):
    trunk, phone = talking
    dialog = phone.dialogs[-1]
    data = written(dialog, "INFO", FOREIGN)
    (challenge,) = send(guarded, data, FOREIGN)
    credentials = DigestClient("209", "pw").answer(request_of(data), challenge, cnonce="c")
    assert credentials is not None
    proven = written(dialog, "INFO", FOREIGN, credentials)
    assert [response.status for response in send(guarded, proven, FOREIGN)] != [401]
    again = written(dialog, "INFO", FOREIGN)
    assert 401 not in [response.status for response in send(guarded, again, FOREIGN)]
    trunk.ask("BYE")
    assert phone.methods[-1:] != ["BYE"]  # it went to the phone's new address


async def test_credentials_of_another_extension_do_not_move_a_phone(guarded, talking, phones):
    _, phone = talking
    phones.set_accounts([account("209"), account("210")])
    data = written(phone.dialogs[-1], "BYE", FOREIGN)
    (challenge,) = send(guarded, data, FOREIGN)
    credentials = DigestClient("210", "pw").answer(request_of(data), challenge, cnonce="c")
    assert credentials is not None
    proven = written(phone.dialogs[-1], "BYE", FOREIGN, credentials)
    assert [response.status for response in send(guarded, proven, FOREIGN)] == [403]
    assert guarded.calls


async def test_a_phone_that_registered_at_another_host_is_accepted_from_that_host(
    guarded, talking, register
):
    _, phone = talking
    register("209", "sip:209@203.0.113.66", time.monotonic(), source=FOREIGN)
    data = written(phone.dialogs[-1], "BYE", FOREIGN)
    assert [response.status for response in send(guarded, data, FOREIGN)] == [200]
    guarded.run()
    assert not guarded.calls


@pytest.mark.parametrize("port", [5060, 40_000])
async def test_the_peers_own_host_is_accepted_from_every_port(guarded, talking, port):
    _, phone = talking
    there = Address(phone.address.host, port)
    data = written(phone.dialogs[-1], "BYE", there)
    assert [response.status for response in send(guarded, data, there)] == [200]
    guarded.run()
    assert not guarded.calls


async def test_another_address_of_the_peers_trunk_is_accepted(guarded, settings, talking):
    trunk, _ = talking
    both = (*settings.trunks[0].peers, type(settings.trunks[0].peers[0]).parse(FOREIGN.host))
    wider = settings.trunks[0].model_copy(update={"peers": both})
    object.__setattr__(settings, "trunks", (wider, *settings.trunks[1:]))
    data = written(trunk.dialogs[-1], "BYE", FOREIGN)
    assert [response.status for response in send(guarded, data, FOREIGN)] == [200]
    guarded.run()
    assert not guarded.calls


async def test_a_cancel_from_a_foreign_host_gets_481_and_the_phone_rings_on(guarded, register):
    trunk = guarded.phone("192.0.2.1", "01632960001")
    phone = guarded.phone("192.0.2.209", "209", register)
    phone.final = None
    trunk.call("01970000000")
    (invite,) = phone.invites
    (call,) = guarded.calls.values()
    request = next(iter(call.legs.legs.values())).server_invite.request
    cancel = (
        f"CANCEL {request.uri} SIP/2.0\r\nVia: {request.via}\r\nFrom: {request.from_}\r\n"
        f"To: {request.to}\r\nCall-ID: {request.call_id}\r\n"
        f"CSeq: {request.cseq.number} CANCEL\r\nContent-Length: 0\r\n\r\n"
    ).encode()
    assert [response.status for response in send(guarded, cancel, FOREIGN)] == [481]
    assert not invite.answered
    assert guarded.calls
