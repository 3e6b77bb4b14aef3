"""SIP messages: parsed, written and answered."""

import contextlib
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.sip_messages import request_of, response_of
from telephony.errors import ProtocolError, SipParseError
from telephony.sip.message.header_values import CSeq, Via
from telephony.sip.message.headers import Headers
from telephony.sip.message.messages import Request, Response, parse_message, respond
from telephony.sip.message.uri import Uri

INVITE = b"""INVITE sip:201@192.0.2.10 SIP/2.0\r
Via: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK77;rport, SIP/2.0/TCP far.example;branch=z9hG4bK76\r
v: SIP/2.0/UDP third.example;branch=z9hG4bK75\r
Record-Route: <sip:192.0.2.1;lr>\r
Max-Forwards: 70\r
From: "Alice, A." <sip:alice@example.com>;tag=1928\r
To: <sip:201@192.0.2.10>\r
i: a84b4c76e66710@192.0.2.1\r
CSeq: 314159 INVITE\r
m: <sip:alice@192.0.2.1>,\r
 "Desk 12" <sip:12@192.0.2.2>;+sip.instance="<urn:uuid:1>"\r
X-Odd-Case:   kept as   it is  \r
c: Application/SDP ; charset=x\r
Timestamp: 54\r
Content-Length: 5\r
\r
v=0\r
"""

DAMAGE = st.tuples(st.integers(0, len(INVITE)), st.integers(0, 3), st.binary(max_size=4))


def changed(old: bytes, new: bytes) -> bytes:
    assert old in INVITE
    return INVITE.replace(old, new)


def test_an_invite_is_parsed():
    message = parse_message(INVITE)
    assert isinstance(message, Request)
    assert message.method == "INVITE"
    assert message.uri == Uri.parse("sip:201@192.0.2.10")
    assert message.via.branch == "z9hG4bK77"
    assert [via.host for via in message.vias] == ["192.0.2.1", "far.example", "third.example"]
    assert message.from_.tag == "1928"
    assert message.from_.display_name == "Alice, A."
    assert message.to.tag is None
    assert message.call_id == "a84b4c76e66710@192.0.2.1"
    assert message.cseq == CSeq(314159, "INVITE")
    assert [contact.uri.user for contact in message.contacts] == ["alice", "12"]
    assert message.content_type == "application/sdp"
    assert message.body == b"v=0\r\n"
    assert ("X-Odd-Case", "kept as   it is") in message.headers.items()


def test_a_response_is_parsed():
    message = parse_message(
        changed(b"INVITE sip:201@192.0.2.10 SIP/2.0", b"SIP/2.0 486 Busy \xc3\xa2")
    )
    assert isinstance(message, Response)
    assert (message.status, message.reason) == (486, "Busy â")


@pytest.mark.parametrize("line", [b"SIP/2.0 180 ", b"SIP/2.0 180", b"sip/2.0  180 "])
def test_a_response_without_a_reason_phrase_is_parsed(line):
    message = parse_message(changed(b"INVITE sip:201@192.0.2.10 SIP/2.0", line))
    assert isinstance(message, Response)
    assert (message.status, message.reason) == (180, "")


@pytest.mark.parametrize("first", ["INVITE sip:201@192.0.2.10 SIP/2.0", "SIP/2.0 200 OK"])
def test_a_message_round_trips(first):
    message = parse_message(changed(b"INVITE sip:201@192.0.2.10 SIP/2.0", first.encode()))
    again = parse_message(bytes(message))
    assert again.start_line == message.start_line == first
    assert again.headers == message.headers
    assert again.body == message.body
    assert bytes(again) == bytes(message)


@given(
    st.lists(
        st.tuples(
            st.from_regex(r"X-[A-Za-z0-9]{1,8}", fullmatch=True),
            st.text(st.characters(exclude_characters="\r\n\0", exclude_categories=["Cs"])).map(
                lambda text: text.strip(" \t")
            ),
        ),
        max_size=5,
    ),
    st.binary(max_size=200),
)
def test_unknown_headers_keep_their_order_and_case_and_the_body_is_unchanged(pairs, body):
    message = parse_message(INVITE)
    for name, value in pairs:
        message.headers.add(name, value)
    message.body = body
    again = parse_message(bytes(message))
    assert again.headers.items() == message.headers.items()
    assert again.body == body


@pytest.mark.parametrize("first", ["INVITE sip:201@192.0.2.10 SIP/2.0", "SIP/2.0 200 OK"])
def test_a_content_type_that_is_repeated_unchanged_is_read_and_written_once(first):
    again = b"c: Application/SDP ; charset=x\r\nContent-Type:  Application/SDP ; charset=x\r\n"
    data = changed(b"c: Application/SDP ; charset=x\r\n", again)
    message = parse_message(data.replace(b"INVITE sip:201@192.0.2.10 SIP/2.0", first.encode()))
    assert message.content_type == "application/sdp"
    assert message.headers.get_all("Content-Type") == ["Application/SDP ; charset=x"]


def test_two_different_content_types_are_refused():
    with pytest.raises(SipParseError):
        parse_message(changed(b"c: Application", b"Content-Type: text/plain\r\nc: Application"))


def test_leading_empty_lines_are_tolerated():
    for before in (b"\r\n\r\n", b"\n", b"\r"):
        assert len(request_of(before + INVITE).contacts) == 2


@pytest.mark.parametrize("line_end", [b"\n", b"\r", b"\n\r", b"\r\r\n", b"\r\n\n"])
@pytest.mark.parametrize("place", range(INVITE.partition(b"\r\n\r\n")[0].count(b"\r\n") + 1))
def test_a_line_that_does_not_end_with_crlf_is_refused_with_400(line_end, place):
    lines = INVITE.split(b"\r\n")
    changed = b"\r\n".join(lines[: place + 1]) + line_end + b"\r\n".join(lines[place + 1 :])
    with pytest.raises(SipParseError) as raised:
        parse_message(changed)
    assert raised.value.status == 400


def test_a_message_whose_lines_all_end_with_lf_is_refused():
    with pytest.raises(SipParseError, match="bare CR or LF"):
        parse_message(INVITE.replace(b"\r\n", b"\n"))


@given(
    st.lists(
        st.sampled_from(
            [
                b"Subject: x",
                b"P-Asserted-Identity: <sip:1@x>",
                b"\r",
                b"\n",
                b"\r\n",
                b"\r\n ",
                b":",
            ]
        ),
        max_size=8,
    ).map(b"".join)
)
def test_every_header_field_that_is_read_is_a_line_between_two_crlfs(smuggled):
    data = INVITE.replace(b"\r\nCSeq", b"\r\n" + smuggled + b"\r\nCSeq", 1)
    try:
        message = parse_message(data)
    except SipParseError:
        return
    lines = re.sub(rb"\r\n[ \t]+", b" ", data).split(b"\r\n")
    for name, value in message.headers.items():
        assert any(
            line.partition(b":")[0].strip() == name.encode()
            and line.partition(b":")[2].strip() == value.encode()
            for line in lines
        )
    assert not re.search(rb"(?<!\r)\n|\r(?!\n)", data.partition(b"\r\n\r\n")[0])


def test_a_latin_1_line_is_written_unchanged_and_other_lines_as_utf_8():
    data = changed(b"Alice, A.", "Siân".encode("latin-1"))
    data = data.replace(b"kept as   it is", "Siân".encode())
    message = request_of(data)
    assert message.from_.display_name == "Siân"
    assert message.headers.get("X-Odd-Case") == "Siân"
    assert b'From: "Si\xe2n" <sip:alice@example.com>;tag=1928\r\n' in bytes(message)
    assert "X-Odd-Case: Siân\r\n".encode() in bytes(message)
    answer = respond(
        message, 180, to_tag="x", headers=[("From-Copy", message.headers.get("From") or "")]
    )
    assert bytes(answer).count(b'"Si\xe2n"') == 2


def test_a_latin_1_name_that_is_set_again_is_written_as_utf_8():
    message = parse_message(changed(b"Alice, A.", "Siân".encode("latin-1")))
    message.headers.set("From", message.from_)
    assert 'From: "Siân" '.encode() in bytes(message)


def test_a_latin_1_reason_phrase_is_written_unchanged():
    data = changed(b"INVITE sip:201@192.0.2.10 SIP/2.0", "SIP/2.0 486 Occupé".encode("latin-1"))
    message = response_of(data)
    assert message.reason == "Occupé"
    assert bytes(message).startswith(b"SIP/2.0 486 Occup\xe9\r\n")


def test_a_quoted_nul_becomes_a_replacement_character_and_any_other_nul_is_refused():
    message = parse_message(changed(b"Alice, A.", b"a\\\0\\\\b"))
    assert message.from_.display_name == "a\ufffd\\b"
    for wrong in (b"a\0b", b"a\\\\\0b"):
        with pytest.raises(SipParseError):
            parse_message(changed(b"Alice, A.", wrong))
    for wrong in (b"odd \\\0", b'"odd \\\0'):
        with pytest.raises(SipParseError):
            parse_message(changed(b"kept as   it is", wrong))


def test_every_via_of_a_request_must_be_valid():
    with pytest.raises(SipParseError):
        parse_message(changed(b"SIP/2.0/TCP far.example", b"far.example"))
    response = changed(b"INVITE sip:201@192.0.2.10 SIP/2.0", b"SIP/2.0 200 OK")
    parse_message(response.replace(b"SIP/2.0/TCP far.example", b"far.example"))


@pytest.mark.parametrize(
    "line", ["INVITE sip:a@h \u017fip/2.0", "\u017fip/2.0 200 OK", "INVITE sip:a@h SIP/\u0662.0"]
)
def test_non_ascii_letters_and_digits_in_the_sip_version_are_refused(line):
    with pytest.raises(SipParseError):
        parse_message(changed(b"INVITE sip:201@192.0.2.10 SIP/2.0", line.encode()))


def test_a_response_keeps_the_text_of_the_requests_to_header():
    request = request_of(changed(b"<sip:201@192.0.2.10>", b"sip:201@192.0.2.10;odd=;"))
    assert respond(request, 180, to_tag="x").headers.get("To") == "sip:201@192.0.2.10;odd=;tag=x"
    assert respond(request, 100).headers.get("To") == "sip:201@192.0.2.10;odd=;"


def test_only_a_known_method_must_equal_the_cseq_method_when_parsed():
    with pytest.raises(SipParseError):
        parse_message(changed(b"CSeq: 314159 INVITE", b"CSeq: 314159 BYE"))
    assert request_of(changed(b"INVITE sip:", b"NEW sip:")).method == "NEW"


def test_without_content_length_the_rest_of_a_datagram_is_the_body():
    message = parse_message(changed(b"Content-Length: 5\r\n", b"") + b"more")
    assert message.body == b"v=0\r\nmore"


def test_bytes_after_the_body_are_cut_off():
    assert parse_message(INVITE + b"more").body == b"v=0\r\n"


@pytest.mark.parametrize(
    ("old", "new", "status"),
    [
        (b"gth: 5", b"gth: 6", 400),
        (b"gth: 5", b"gth: -5", 400),
        (b"gth: 5", b"gth: 5\r\nl: 4", 400),
        (b"gth: 5", b"gth: \xd9\xa5", 400),
        (b"CSeq: 314159 INVITE\r\n", b"", 400),
        (b"Max-Forwards: 70", b"Max-Forwards: -1", 400),
        (b"Max-Forwards: 70", b"Max-Forwards: abc", 400),
        (b"Max-Forwards: 70", b"Max-Forwards:", 400),
        (b"Max-Forwards: 70", "Max-Forwards: \u0667".encode(), 400),
        (b"CSeq: 314159 INVITE\r\n", b"CSeq: 314159 INVITE\r\nCSeq: 1 INVITE\r\n", 400),
        (b"CSeq: 314159 INVITE", b"CSeq: 314159 BYE", 400),
        (b"CSeq: 314159 INVITE", b"CSeq: 9999999999 INVITE", 400),
        (b"i: a84b4c76e66710@192.0.2.1", b"i:", 400),
        (b"From: ", b"Fromm: ", 400),
        (b"To: <sip:201@192.0.2.10>", b"To: <sip:201@192.0.2.10", 400),
        (b"SIP/2.0\r\nVia", b"SIP/7.0\r\nVia", 505),
        (b"sip:201@192.0.2.10 SIP/2.0", b"<sip:201@192.0.2.10> SIP/2.0", 400),
        (b"INVITE sip:201", b"INV<ITE sip:201", 400),
        (b"INVITE sip:201@192.0.2.10 SIP/2.0", b"SIP/2.0 700 No", 400),
        (b"Timestamp: 54", b"Timestamp 54", 400),
        (b"Timestamp: 54", b"Time stamp: 54", 400),
        (b"Timestamp: 54", b"Timestamp: 5\r4", 400),
        (b"Timestamp: 54", b"Timestamp: 5\x004", 400),
        (b"Timestamp: 54", b"Timestamp: " + b"5" * 20000, 513),
        (b"Timestamp: 54", b"A: 1\r\n" * 300 + b"B: 2", 513),
        (b"v=0", b"v" * 65536, 513),
    ],
)
def test_a_malformed_message_is_refused_with_the_status_for_its_fault(old, new, status):
    with pytest.raises(SipParseError) as caught:
        parse_message(changed(old, new))
    assert caught.value.status == status


@pytest.mark.parametrize("data", [b"", b"\r\n\r\n", b"\0\0\0\0", INVITE[:60], INVITE[:300]])
def test_an_empty_or_truncated_message_is_refused(data):
    with pytest.raises(SipParseError):
        parse_message(data)


@given(st.binary(max_size=300))
def test_any_bytes_are_parsed_as_a_message_or_raise_sip_parse_error(data):
    for candidate in (data, b"INVITE sip:a@b SIP/2.0\r\n" + data + b"\r\n\r\n"):
        with contextlib.suppress(SipParseError):
            assert parse_message(candidate).call_id


@given(st.lists(DAMAGE, min_size=1, max_size=6))
def test_a_damaged_invite_is_parsed_or_raises_sip_parse_error(damage):
    data = INVITE
    for place, dropped, added in damage:
        data = data[:place] + added + data[place + dropped :]
    try:
        message = parse_message(data)
        assert all((message.via, message.from_, message.to, message.cseq, message.call_id))
        again = parse_message(bytes(message))
    except SipParseError:
        return
    assert again.headers == message.headers


def test_the_content_length_is_computed_from_the_body():
    message = parse_message(INVITE)
    message.body = b"12345678"
    assert bytes(message).endswith(b"Content-Length: 8\r\n\r\n12345678")
    assert bytes(message).count(b"Content-Length") == 1


def test_a_line_break_in_a_header_method_or_reason_raises_protocol_error():
    request = Request("OPTIONS", Uri(host="h"))
    request.headers.rows.append(("x", "X", "a\r\nY: b"))
    with pytest.raises(ProtocolError):
        bytes(request)
    with pytest.raises(ProtocolError):
        bytes(Response(200, "OK\r\nX: y"))
    with pytest.raises(ProtocolError):
        bytes(Response(200, "OK\udc80"))
    with pytest.raises(ProtocolError):
        Request("OPTIONS\r\n", Uri(host="h"))
    with pytest.raises(ProtocolError):
        Response(99)


def test_a_parsed_value_is_updated_after_its_header_changes():
    message = parse_message(INVITE)
    assert message.to.tag is None
    message.headers.set("To", message.to.with_tag("new"))
    assert message.to.tag == "new"


def test_the_top_via_is_replaced_and_the_others_stay():
    message = parse_message(INVITE)
    message.replace_top_via(message.via.with_parameter("received", "203.0.113.5"))
    assert message.via.received == "203.0.113.5"
    assert [via.host for via in message.vias] == ["192.0.2.1", "far.example", "third.example"]


def test_reading_a_missing_mandatory_header_raises_sip_parse_error():
    with pytest.raises(SipParseError):
        _ = Request("OPTIONS", Uri(host="h"), Headers()).via


def test_a_response_copies_the_headers_of_rfc_3261_8_2_6_2():
    request = parse_message(INVITE)
    assert isinstance(request, Request)
    response = respond(request, 180, to_tag="t", headers=[("Contact", "<sip:me@h>")])
    assert (response.status, response.reason) == (180, "Ringing")
    assert response.vias == request.vias
    assert response.headers.get("From") == request.headers.get("From")
    assert response.to.tag == "t"
    assert (response.call_id, response.cseq) == (request.call_id, request.cseq)
    assert [name for name, _ in response.headers] == [
        "Via", "Via", "Record-Route", "From", "To", "Call-ID", "CSeq", "Contact",
    ]  # fmt: skip
    assert parse_message(bytes(response)).headers == response.headers


def test_a_100_copies_the_timestamp_and_a_failure_omits_the_record_route():
    request = parse_message(INVITE)
    assert isinstance(request, Request)
    assert respond(request, 100).headers.get("Timestamp") == "54"
    assert respond(request, 100).to.tag is None
    assert "Record-Route" not in respond(request, 486, "Engaged").headers


def test_a_response_keeps_the_to_tag_of_its_request():
    request = parse_message(changed(b"To: <sip:201@192.0.2.10>", b"To: <sip:201@h>;tag=old"))
    assert isinstance(request, Request)
    assert respond(request, 200, to_tag="new").to.tag == "old"


def test_the_repr_of_a_message_shows_no_names_or_numbers():
    assert "alice" not in repr(parse_message(INVITE))
    assert "201" not in repr(parse_message(INVITE))
    assert Via.parse("SIP/2.0/UDP h").branch is None
