"""Every message of RFC 4475 and RFC 5118, parsed and sent to an endpoint.

The files hold the exact octets of the RFCs, also the Content-Lengths that RFC 5118 miscounted. The
tables say what the RFC requires and, where it leaves a choice, what we chose.

Covers `telephony/sip/message/messages.py`, `telephony/sip/endpoint.py` and
`telephony/sip/registrar.py`.
"""

import random
from dataclasses import dataclass
from pathlib import Path

import pytest

from helpers.core_counts import counts
from telephony.errors import SipParseError
from telephony.sip.endpoint import Endpoint
from telephony.sip.events import Address, IncomingInvite, MessageDropped, StandaloneRequest
from telephony.sip.message.content import parse_multipart
from telephony.sip.message.header_values import CSeq
from telephony.sip.message.messages import Request, Response, parse_message
from telephony.sip.message.uri import Uri
from telephony.sip.registrar import Registrar
from telephony.sip.ua.auth import AuthOutcome, DigestServer

TORTURE = Path(__file__).parent / "torture"
LOCAL = Address("192.0.2.100", 5060)
SOURCE = Address("192.0.2.200", 5070)


@dataclass(frozen=True)
class Case:
    """The expected treatment of one message.

    Attributes:
        section: The section of its RFC.
        name: The name of its file, without the suffix.
        status: The status with which the parser refuses it; None if it accepts it.
        answer: The status that the endpoint answers by itself; None if it does not answer.
        event: The event that the application receives; None if it receives none.
        says: What the RFC says, in a few words.
    """

    section: str
    name: str
    status: int | None
    answer: int | None
    event: type | None
    says: str


INVITE, OTHER, DROP = IncomingInvite, StandaloneRequest, MessageDropped

RFC_4475 = [
    # Valid messages.
    Case("3.1.1.1", "wsinv", None, 481, None, "well-formed; its To tag names no dialog of ours"),
    Case("3.1.1.2", "intmeth", None, 501, None, "well-formed; 501 with Allow"),
    Case("3.1.1.3", "esc01", None, None, INVITE, "well-formed; escapes are not undone in passing"),
    Case("3.1.1.4", "escnull", None, None, OTHER, "well-formed; %00 must not end anything"),
    Case("3.1.1.5", "esc02", None, 501, None, "well-formed; % escapes nothing in a method"),
    Case("3.1.1.6", "lwsdisp", None, None, OTHER, "well-formed"),
    Case("3.1.1.7", "longreq", None, None, INVITE, "well-formed"),
    Case("3.1.1.8", "dblreq", None, None, OTHER, "well-formed; the INVITE behind it is not read"),
    Case("3.1.1.9", "semiuri", None, None, OTHER, "well-formed; the semicolon is the user's"),
    Case("3.1.1.10", "transports", None, None, OTHER, "well-formed"),
    Case("3.1.1.11", "mpart01", None, None, OTHER, "well-formed; the body holds NULs"),
    Case("3.1.1.12", "unreason", None, None, DROP, "well-formed; a response for another address"),
    Case("3.1.1.13", "noreason", None, None, DROP, "well-formed; a response for another address"),
    # Invalid messages.
    Case("3.1.2.1", "badinv01", 400, 400, None, "should be refused with 400"),
    Case("3.1.2.2", "clerr", 400, 400, None, "should be refused with 400 when it came by UDP"),
    Case("3.1.2.3", "ncl", 400, 400, None, "should be refused with 400"),
    Case("3.1.2.4", "scalar02", 400, 400, None, "should be refused with 400"),
    Case("3.1.2.5", "scalarlg", 400, None, DROP, "should be discarded"),
    Case("3.1.2.6", "quotbal", 400, 400, None, "should be refused with 400"),
    Case("3.1.2.7", "ltgtruri", 400, 400, None, "may be refused with 400; we do"),
    Case("3.1.2.8", "lwsruri", 400, 400, None, "may be refused with 400; we do"),
    Case("3.1.2.9", "lwsstart", None, None, INVITE, "may be refused; we ignore the spaces"),
    Case("3.1.2.10", "trws", None, None, OTHER, "may be refused; we ignore the spaces"),
    Case("3.1.2.11", "escruri", None, None, INVITE, "may be refused; we ignore the headers"),
    Case("3.1.2.12", "baddate", None, None, INVITE, "may be refused; we do not read Date"),
    Case("3.1.2.13", "regbadct", None, None, OTHER, "may be refused; it is unambiguous"),
    Case("3.1.2.14", "badaspec", None, None, OTHER, "may be refused; we ignore the spaces"),
    Case("3.1.2.15", "baddn", 400, 400, None, "may be refused; its last empty line is missing"),
    Case("3.1.2.16", "badvers", 505, 505, None, "should be refused with 505"),
    Case("3.1.2.17", "mismatch01", 400, 400, None, "must be refused with 400"),
    Case("3.1.2.18", "mismatch02", None, 501, None, "should be refused with 501"),
    Case("3.1.2.19", "bigcode", 400, None, DROP, "should be discarded"),
    # Transaction layer.
    Case("3.2.1", "badbranch", None, None, OTHER, "matched as RFC 2543 would"),
    # Application layer.
    Case("3.3.1", "insuf", 400, 400, None, "ideally refused with 400"),
    Case("3.3.2", "unkscm", None, 416, None, "should be refused with 416"),
    Case("3.3.3", "novelsc", None, 416, None, "should be refused with 416"),
    Case("3.3.4", "unksm2", None, None, OTHER, "parsers must not fail; a registrar says 400"),
    Case("3.3.5", "bext01", None, 420, None, "should be refused with 420 and Unsupported"),
    Case("3.3.6", "invut", None, None, INVITE, "parsers must not fail; the user says 415"),
    Case("3.3.7", "regaut01", None, None, OTHER, "as if without credentials"),
    Case("3.3.8", "multi01", 400, 400, None, "should be refused with 400"),
    Case("3.3.9", "mcl01", 400, 400, None, "should be refused with 400"),
    Case("3.3.10", "bcast", None, None, DROP, "should be discarded"),
    Case("3.3.11", "zeromf", None, None, OTHER, "the target itself answers as ever"),
    Case("3.3.12", "cparam01", None, None, OTHER, "the parameter is the header's"),
    Case("3.3.13", "cparam02", None, None, OTHER, "the parameter is the URI's"),
    Case("3.3.14", "regescrt", None, None, OTHER, "the escaped header belongs to the contact"),
    Case("3.3.15", "sdp01", None, None, INVITE, "parsers must not fail; the user says 406"),
    # Backward compatibility.
    Case("3.4.1", "inv2543", None, None, INVITE, "should be accepted"),
]

RFC_5118 = [
    Case("4.1", "ipv6-good", None, None, OTHER, "valid"),
    Case("4.2", "ipv6-bad", 400, 400, None, "should be refused with 400"),
    Case("4.3", "port-ambiguous", None, None, OTHER, "valid; 5070 is the address's, not a port"),
    Case("4.4", "port-unambiguous", None, None, OTHER, "valid"),
    Case("4.5", "via-received-param-with-delim", None, 481, None, "must be parsed all the same"),
    Case("4.5", "via-received-param-no-delim", None, None, OTHER, "valid"),
    Case("4.6", "ipv6-in-sdp", 400, 400, None, "valid, were its Content-Length not 17 too many"),
    Case("4.7", "mult-ip-in-header", None, 481, None, "valid; of no dialog of ours"),
    Case("4.8", "mult-ip-in-sdp", None, None, INVITE, "valid; its Content-Length cuts the body"),
    Case("4.9", "ipv4-mapped-ipv6", None, None, INVITE, "valid; its Content-Length cuts the body"),
    Case("4.10", "ipv6-bug-abnf-3-colons", None, None, OTHER, "may be read without that colon"),
    Case("4.10", "ipv6-correct-abnf-2-colons", None, None, OTHER, "valid"),
]

ALL = [("rfc4475", case) for case in RFC_4475] + [("rfc5118", case) for case in RFC_5118]
each = pytest.mark.parametrize(("rfc", "case"), ALL, ids=[case.name for _, case in ALL])


def encode(name, rfc="rfc4475"):
    return (TORTURE / rfc / f"{name}.dat").read_bytes()


def read(name, rfc="rfc4475"):
    return parse_message(encode(name, rfc))


@dataclass
class Heard:
    """The answers and events of an endpoint after one datagram."""

    answers: list
    events: list


def send(data):
    endpoint = Endpoint(rng=random.Random(1))
    endpoint.listen(LOCAL)
    endpoint.receive(data, SOURCE, LOCAL, 1000.0)
    events = []
    while (event := endpoint.next_event()) is not None:
        events.append(event)
    return Heard([datagram.data for datagram in endpoint.outgoing()], events)


def test_every_torture_message_has_a_file_and_a_table_row():
    for rfc, cases in (("rfc4475", RFC_4475), ("rfc5118", RFC_5118)):
        names = {path.stem for path in (TORTURE / rfc).glob("*.dat")}
        assert names == {case.name for case in cases}
    assert (len(RFC_4475), len(RFC_5118)) == (49, 12)


@each
def test_the_parser_accepts_or_refuses_each_message_as_the_table_says(rfc, case):
    data = encode(case.name, rfc)
    if case.status is None:
        parse_message(data)
        return
    with pytest.raises(SipParseError) as caught:
        parse_message(data)
    assert caught.value.status == case.status


@each
def test_the_endpoint_answers_or_reports_each_message_as_the_table_says(rfc, case):
    heard = send(encode(case.name, rfc))
    assert [int(data.split(b" ", 2)[1]) for data in heard.answers] == (
        [] if case.answer is None else [case.answer]
    )
    assert [type(event) for event in heard.events] == ([case.event] if case.event else [])


@each
def test_each_accepted_message_round_trips(rfc, case):
    if case.status is not None:
        return
    message = read(case.name, rfc)
    again = parse_message(bytes(message))
    assert again.start_line == message.start_line
    assert (again.headers, again.body) == (message.headers, message.body)
    assert bytes(again) == bytes(message)


@each
def test_each_response_is_readable_and_matches_its_request(rfc, case):
    for data in send(encode(case.name, rfc)).answers:
        if case.status is not None:
            assert data.endswith(b"Content-Length: 0\r\n\r\n")
            continue
        request, answer = read(case.name, rfc), parse_message(data)
        assert answer.via.branch == request.via.branch
        assert answer.vias[1:] == request.vias[1:]
        assert answer.headers.get("From") == request.headers.get("From")
        assert (answer.call_id, answer.cseq) == (request.call_id, request.cseq)
        assert answer.to.uri == request.to.uri
        assert answer.to.tag


def test_the_refusal_of_a_malformed_request_contains_its_readable_headers():
    (data,) = send(encode("quotbal")).answers
    lines = data.split(b"\r\n")
    assert (
        b"Via: SIP/2.0/UDP 192.0.2.59:5050;branch=z9hG4bKkdjuw39234;received=192.0.2.200" in lines
    )
    assert b"Call-ID: quotbal.aksdj" in lines
    assert b"CSeq: 8 INVITE" in lines
    (data,) = send(encode("insuf")).answers
    assert b"From" not in data
    assert b"CSeq: 193942 INVITE\r\n" in data
    (data,) = send(encode("badvers")).answers
    assert b"\r\nVia: SIP/7.0/UDP c.example.com;branch=z9hG4bKkdjuw;received=192.0.2.200" in data
    (data,) = send(encode("badinv01")).answers
    assert data.count(b"Via:") == 1


def test_a_501_lists_the_allowed_methods_and_a_420_the_unsupported_options():
    (data,) = send(encode("intmeth")).answers
    assert "INVITE" in parse_message(data).headers.get_list("Allow")
    (data,) = send(encode("bext01")).answers
    assert parse_message(data).headers.get_list("Unsupported") == [
        "nothingSupportsThis",
        "nothingSupportsThisEither",
    ]


def test_the_torture_message_wsinv_is_parsed_with_all_its_folded_headers():
    message = read("wsinv")
    assert message.uri.parameters == (("unknownparam", None),)
    assert (message.to.tag, message.from_.tag) == ("1918181833n", "98asjd8")
    assert message.from_.display_name == 'J Rosenberg \\"'
    assert message.cseq == CSeq(9, "INVITE")
    assert [(via.transport, via.host, via.branch) for via in message.vias] == [
        ("UDP", "192.0.2.2", "390skdjuw"),
        ("TCP", "spindle.example.com", "z9hG4bK9ikj8"),
        ("UDP", "192.168.255.111", "z9hG4bK30239"),
    ]
    assert message.headers.get("Subject") == ""
    assert message.headers.get("Max-Forwards") == "0068"
    assert message.headers.get("NewFangledHeader") == "newfangled value continued newfangled value"
    assert message.headers.get("UnknownHeaderWithUnusualValue") == ";;,,;;,;"
    (contact,) = message.contacts
    assert contact.display_name == 'Quoted string ""'
    assert contact.parameter("newparam") == "newvalue"
    assert (contact.parameter("secondparam"), contact.parameter("q")) == ("", "0.33")
    assert len(message.body) == 150


def test_the_torture_message_intmeth_keeps_its_unusual_characters_except_the_nul():
    message = read("intmeth")
    assert message.method == "!interesting-Method0123456789_*+`.%indeed'~"
    assert message.uri.user == "1_unusual.URI~(to-be!sure)&isn't+it$/crazy?,/;;*"
    assert message.uri.password == "&it+has=1,weird!*pas$wo~d_too.(doesn't-it)"
    assert message.to.display_name == "BEL:\x07 NUL:\ufffd DEL:\x7f"
    assert message.from_.display_name == "token1~` token2'+_ token3*%!.-"
    assert message.from_.parameter("fromParam''~+*_!.-%") == "работающий"
    assert message.from_.tag == "_token~1'+`*%!-."
    assert message.call_id == "intmeth.word%ZK-!.*_+'@word`~)(><:\\/\"][?}{"
    assert message.headers.get("extensionHeader-!.%*+_`'~") == "\ufeff大停電"
    assert b"\0" not in bytes(message)


def test_escapes_are_kept_and_control_characters_stay_escaped():
    message = read("esc01")
    assert str(message.uri) == "sip:sips%3Auser%40example.com@example.net"
    assert message.from_.uri.number == "I have spaces"
    (contact,) = message.contacts
    assert (contact.uri.parameter("lr"), contact.uri.parameter("name")) == ("", "value%41")
    assert str(contact.uri) == "sip:cal%6Cer@host5.example.net;%6C%72;n%61me=v%61lue%25%34%31"
    message = read("escnull")
    assert message.to.uri.number == "null-%00-null"
    assert [contact.uri.dialled for contact in message.contacts] == ["%00", "%00%00"]
    assert b"sip:null-%00-null@example.com" in bytes(message)


def test_a_percent_escape_in_a_method_or_header_name_is_not_decoded():
    message = read("esc02")
    assert message.method == "RE%47IST%45R"
    assert [contact.uri.user for contact in message.contacts] == ["alias1", "alias3"]
    assert message.headers.get("C%6Fntact") == "<sip:alias2@host2.example.com>"
    assert message.to.display_name == "%Z%45"


def test_further_valid_torture_messages_have_the_values_that_the_rfc_gives():
    assert read("lwsdisp").from_.display_name == "caller"
    assert len(read("longreq").vias) == 34
    assert read("dblreq").body == b""
    assert read("dblreq").method == "REGISTER"
    assert read("semiuri").uri == Uri(user="user;par=u%40example.net", host="example.com")
    assert [via.transport for via in read("transports").vias] == [
        "UDP", "SCTP", "TLS", "UNKNOWN", "TCP",
    ]  # fmt: skip
    mixed = read("mpart01")
    text, binary = parse_multipart(mixed.headers.get("Content-Type"), mixed.body)
    assert (text.type, text.body) == ("text/plain", b"Hello")
    assert (len(binary.body), binary.body[:4]) == (342, b"\x30\x82\x01\x52")
    assert read("unreason").reason == "= 2**3 * 5**2 но сто девяносто девять - простое"
    message = read("noreason")
    assert isinstance(message, Response)
    assert bytes(message).startswith(b"SIP/2.0 100 \r\n")


def test_tolerated_faults_are_corrected_in_the_parsed_message():
    message = read("escruri")
    assert message.start_line == "INVITE sip:user@example.com SIP/2.0"
    assert read("lwsstart").start_line == "INVITE sip:user@example.com SIP/2.0"
    assert str(read("badaspec").to) == '"Watson, Thomas" <sip:t.watson@example.org>'
    message = parse_message(encode("baddn") + b"\r\n")
    assert str(message.from_) == '"Bell, Alexander" <sip:a.g.bell@example.com>;tag=43'
    message = read("ipv6-bug-abnf-3-colons", "rfc5118")
    assert message.uri == read("ipv6-correct-abnf-2-colons", "rfc5118").uri


def test_a_branch_of_only_the_cookie_is_matched_as_in_rfc_2543():
    endpoint = Endpoint(rng=random.Random(1))
    endpoint.listen(LOCAL)
    data = encode("badbranch")
    for copy in (data, data.replace(b"CSeq: 8", b"CSeq: 9"), data):
        endpoint.receive(copy, SOURCE, LOCAL, 1000.0)
    assert counts(endpoint).server_transactions == 2


def registered(name):
    registrar = Registrar()
    response = registrar.register("sip:x", read(name), SOURCE, 1000.0)
    return response, registrar.contacts("sip:x", 1000.0)


def test_a_registrar_returns_contact_parameters_inside_or_outside_the_uri_as_received():
    response, _ = registered("cparam01")
    assert response.headers.get("Contact") == (
        "<sip:+19725552222@gw1.example.net>;unknownparam;expires=3600"
    )
    response, _ = registered("cparam02")
    assert response.headers.get("Contact") == (
        "<sip:+19725552222@gw1.example.net;unknownparam>;expires=3600"
    )


@pytest.mark.parametrize("name", ["regescrt", "regbadct"])
def test_headers_in_a_contact_uri_are_returned_but_never_sent(name):
    response, ((target, _),) = registered(name)
    assert "sip:user@example.com?Route=%3Csip:sip.example.com%3E" in response.headers.get("Contact")
    assert str(target) == "sip:user@example.com"


def test_a_registrar_distinguishes_contacts_with_escaped_nuls():
    _, contacts = registered("escnull")
    assert [str(uri) for uri, _ in contacts] == [
        "sip:%00%00@host5.example.com",
        "sip:%00@host5.example.com",
    ]


def test_a_registrar_refuses_a_contact_that_is_not_a_sip_uri():
    response, contacts = registered("unksm2")
    assert (response.status, contacts) == (400, [])


def test_credentials_of_an_unknown_scheme_count_as_missing():
    server = DigestServer("example.com", b"s" * 16, lambda *_: None)
    request = read("regaut01")
    assert server.verify(request, 1000.0).outcome is AuthOutcome.MISSING
    assert server.challenge(request, 1000.0).status == 401


def test_ipv6_addresses_are_parsed_with_and_without_a_port():
    assert read("ipv6-good", "rfc5118").uri == Uri(host="2001:db8::10")
    assert read("ipv6-good", "rfc5118").via.host == "2001:db8::9:1"
    assert read("port-ambiguous", "rfc5118").uri == Uri(host="2001:db8::10:5070")
    assert read("port-unambiguous", "rfc5118").uri == Uri(host="2001:db8::10", port=5070)
    for name in ("with", "no"):
        message = read(f"via-received-param-{name}-delim", "rfc5118")
        assert message.via.received == "2001:db8::9:255"
    vias = read("mult-ip-in-header", "rfc5118").vias
    assert [(via.host, via.port, via.received) for via in vias] == [
        ("2001:db8::9:1", 6050, None),
        ("192.0.2.1", None, None),
        ("2001:db8::9:255", None, "192.0.2.200"),
    ]
    message = read("ipv4-mapped-ipv6", "rfc5118")
    assert (message.via.host, message.via.port) == ("::ffff:192.0.2.10", 19823)
    assert message.contacts[0].uri.host == "::ffff:192.0.2.2"


@pytest.mark.parametrize(
    ("name", "wrong", "right", "line"),
    [
        ("ipv6-in-sdp", 268, 251, b"c=IN IP6 2001:db8::20"),
        ("mult-ip-in-sdp", 181, 189, b"c=IN IP6 2001:db8::1"),
        ("ipv4-mapped-ipv6", 236, 245, b"c=IN IP6 ::ffff:192.0.2.2"),
    ],
)
def test_an_rfc_5118_message_with_a_corrected_content_length_keeps_its_whole_body(
    name, wrong, right, line
):
    data = encode(name, "rfc5118").replace(
        f"Content-Length: {wrong}".encode(), f"Content-Length: {right}".encode()
    )
    (event,) = send(data).events
    request = event.invite.request
    assert isinstance(request, Request)
    assert line in request.body.split(b"\r\n")
    assert request.body.endswith(b"a=rtpmap:107 H263-1998/90000\r\n")
