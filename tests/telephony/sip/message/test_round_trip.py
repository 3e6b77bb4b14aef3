"""Messages are written as received: order, case, compact names, quotes, escapes, charsets.

Covers `telephony/sip/message/messages.py`, `telephony/sip/message/headers.py`,
`telephony/sip/message/grammar.py` and `telephony/sip/message/uri.py`.
"""

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from telephony.errors import SipParseError
from telephony.sip.message.grammar import (
    COMPACT_NAMES,
    format_parameters,
    parse_parameters,
    split_list,
)
from telephony.sip.message.header_values import NameAddr, Via
from telephony.sip.message.headers import Headers, Latin1Text, encode, unfold
from telephony.sip.message.messages import parse_message
from telephony.sip.message.uri import Uri, parse_host_port

TOKEN = string.ascii_letters + string.digits + "-.!%*_+`'~"
NEEDED = {"via", "v", "from", "f", "to", "t", "call-id", "i", "cseq", "content-length", "l"}
ONCE = {"max-forwards", "content-type", "c"}
NAMES = st.text(TOKEN, min_size=1, max_size=12).filter(
    lambda name: name.lower() not in NEEDED | ONCE
)
VALUES = st.binary(max_size=20).filter(lambda value: not set(value) & set(b"\r\n\0"))
PAIRS = st.lists(st.tuples(NAMES.map(str.encode), VALUES), max_size=6)

START = b"OPTIONS sip:a@h.example SIP/2.0\r\n"
SOUND = [
    b"Via: SIP/2.0/UDP h.example;branch=z9hG4bK1",
    b"f: <sip:a@h.example>;tag=1",
    b"TO: <sip:b@h.example>",
    b"i: c",
    b"cSeQ: 1 OPTIONS",
]


def message_of(lines, body=b""):
    return START + b"".join(line + b"\r\n" for line in (*SOUND, *lines)) + b"\r\n" + body


def written(message):
    return bytes(message).partition(b"\r\n\r\n")[0].split(b"\r\n")[1:-1]


@given(PAIRS, st.binary(max_size=30))
def test_headers_of_any_bytes_are_written_with_the_same_order_case_and_bytes(pairs, body):
    lines = [name + b": " + value.strip(b" \t") for name, value in pairs]
    message = parse_message(message_of([name + b" :\t" + value for name, value in pairs], body))
    assert written(message) == [*SOUND, *lines]
    assert message.body == body


@given(PAIRS)
def test_headers_of_any_bytes_are_unchanged_after_a_copy_into_another_message(pairs):
    came = parse_message(message_of(name + b": " + value for name, value in pairs))
    other = parse_message(message_of([]))
    for name, value in came.headers.items()[len(SOUND) :]:
        other.headers.add(name, value)
    assert written(other) == written(came)


@given(st.lists(st.text(string.ascii_letters, min_size=1, max_size=5), min_size=1, max_size=4))
def test_a_header_fold_becomes_one_space(words):
    folded = "\r\n \t ".join(words)
    assert unfold(f"X: {folded}\r\nY: 1".encode()) == [f"X: {' '.join(words)}", "Y: 1"]


@pytest.mark.parametrize(("short", "long"), COMPACT_NAMES.items())
def test_a_compact_header_name_matches_its_long_form_and_is_kept(short, long):
    headers = Headers.parse([f"{short}: 1", f"{long.title()}: 2", f"{short.upper()} : 3"])
    assert headers.get_all(long) == headers.get_all(short) == ["1", "2", "3"]
    assert [name for name, _ in headers] == [short, long.title(), short.upper()]


@given(st.lists(st.text('ab,;<>"\\ é', max_size=8).map(lambda t: NameAddr(t, Uri(host="h")))))
def test_a_list_of_addresses_with_commas_and_quotes_in_names_is_split_correctly(addresses):
    assert NameAddr.parse_list(", ".join(map(str, addresses))) == addresses
    assert NameAddr.parse_list(" ,\t".join(map(str, addresses)) + ",") == addresses


@given(st.lists(st.tuples(st.text(TOKEN, min_size=1), st.none() | st.text(TOKEN, min_size=1))))
def test_parameters_round_trip_with_or_without_blanks(pairs):
    parameters = tuple(pairs)
    assert parse_parameters(format_parameters(parameters)) == parameters
    spread = format_parameters(parameters).replace(";", " ; ").replace("=", "\t= ")
    assert parse_parameters(spread) == parameters


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ('"a\\"b\\\\c" <sip:h>', 'a"b\\c'),
        ('"\\a\\é" <sip:h>', "aé"),
        ('""<sip:h>', ""),
        ("Bell, Alexander <sip:h>", "Bell, Alexander"),
        ("a  b\t<sip:h>", "a  b"),
        ("Siân<sip:h>", "Siân"),
        ('"<sip:x>" <sip:h>', "<sip:x>"),
        ('"a;tag=1" <sip:h>', "a;tag=1"),
        ('"Siân "Jo" Evans" <sip:h>', 'Siân "Jo" Evans'),
        ('Siân "Jo" Evans <sip:h>', 'Siân "Jo" Evans'),
        ('"" "x" <sip:h>', '" "x'),
    ],
)
def test_quoted_and_unquoted_display_names_are_parsed(text, name):
    address = NameAddr.parse(text)
    assert (address.display_name, address.uri, address.tag) == (name, Uri(host="h"), None)
    assert NameAddr.parse(str(address)) == address


@pytest.mark.parametrize(
    "text",
    ['"a <sip:h>', 'a" <sip:h>', '"a" b" <sip:h>', '"a" sip:h', '"a" b <sip:h> "c" <sip:i>',
     'sip:a@h;x="y" <sip:h>', '"a"', "a <sip:h", "a sip:h>", "<>", "a", '"a"; <sip:h>;<',
     "<sip:h>x", "sip:h<sip:i>,", "*"],
)  # fmt: skip
def test_an_ambiguous_or_incomplete_address_is_refused(text):
    with pytest.raises(SipParseError):
        NameAddr.parse(text)


@pytest.mark.parametrize(
    "text",
    [
        "tel:+44-1632-960123",
        "tel:+44(1632)960.123;ext=12-3;isub=8",
        "tel:7042;phone-context=example.com",
        "tel:863-1234;phone-context=+1-914-555;x-odd=%22",
        "tel:*21#;phone-context=pbx.example",
        "tel:+441632960123;npdi;rn=+4412;cic=+1-6789",
        "nobodyknowsthisscheme:totallyopaquecontent",
        "http://user@www.example.com:80/a/b?c=d&e#f",
        "urn:service:sos.police",
        "im:a@h",
        "sip:%00%0d%0a@h;a=%00?x=%0D%0A",
        "sip:a;b=c;d@h:5061;transport=tcp;lr;maddr=[::1]?Subject=a%20b&Route=%3Csip:c%3E",
        "sips:alice:secret@h",
        "sip:[2001:db8::1]:5060",
        "sip:a@[::ffff:192.0.2.1];transport=udp",
        "sip:+1-212-555-1212:1234@gateway.com;user=phone",
        "sip:1_unusual.URI~(to-be!sure)&isn't+it$/crazy?,/;;*@example.com",
    ],
)
def test_a_uri_is_written_unchanged(text):
    assert str(Uri.parse(text)) == text
    assert str(NameAddr.parse(f"<{text}>").uri) == text


@pytest.mark.parametrize(
    "text",
    ["[fe80::1%eth0]", "[fe80::1%25eth0]", "[v1.a]", "[::1", "::1", "[]", "[1.2.3.4]", "[::1]]",
     "[2001:db8:::1::2]", "[::::1]", "[::1]5060", "[::1]:66000", "h:", "h:-1", "h: 5060", "h h",
     "h/x", "", ":5060", "é"],
)  # fmt: skip
def test_an_invalid_host_or_port_is_refused(text):
    if text == "h:":  # an empty port is allowed
        assert parse_host_port(text) == ("h", None)
        return
    with pytest.raises(SipParseError):
        parse_host_port(text)
    with pytest.raises(SipParseError):
        Uri.parse(f"sip:a@{text}")
    if " " not in text:
        with pytest.raises(SipParseError):
            Via.parse(f"SIP/2.0/UDP {text};branch=1")


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("sip:alice@atlanta.com?subject=project%20x&priority=urgent",
         "sip:alice@atlanta.com?priority=urgent&subject=project%20x"),
        ("sip:a@h;x=1;lr", "sip:a@h;LR;X=1"),
        ("sip:a@h;x=%61", "sip:a@h;X=A"),
        ("sip:%61@h", "sip:a@h"),
        ("sip:a@h", "sip:a@H"),
        ("sip:a@h;x=1;x=2", "sip:a@h;x=1"),
        ("tel:+44-1632;ext=1-2", "tel:+44(16)32;EXT=12"),
        ("tel:863-1234;phone-context=+1-914", "tel:8631234;phone-context=+1914"),
        ("tel:1;phone-context=Example.com", "tel:1;phone-context=example.COM"),
        ("tel:1;a=1;b=2", "tel:1;b=2;a=1"),
    ],
)  # fmt: skip
def test_uris_that_mean_the_same_are_equivalent(one, other):
    assert Uri.parse(one).equivalent(Uri.parse(other))
    assert Uri.parse(other).equivalent(Uri.parse(one))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("sip:bob@biloxi.com", "sip:bob@biloxi.com:6000;transport=tcp"),
        ("sip:bob@phone21.boxesbybob.com", "sip:bob@192.0.2.4"),
        ("sip:a@h", "sip:a@h;user=phone"),
        ("sip:a@h", "sip:a@h;ttl=1"),
        ("sip:a@h", "sip:a@h;method=INVITE"),
        ("sip:a@h", "sip:a@h;maddr=1.2.3.4"),
        ("sip:a@h;maddr=1.2.3.4", "sip:a@h;maddr=1.2.3.5"),
        ("sip:a:x@h", "sip:a:X@h"),
        ("sip:a:x@h", "sip:a@h"),
        ("sip:a@h?a=b", "sip:a@h?a=c"),
        ("sip:%00@h", "sip:@h"),
        ("sip:h", "sip:a@h"),
        ("tel:+4429", "tel:4429;phone-context=+44"),
        ("tel:1;ext=1", "tel:1"),
        ("tel:1", "sip:1@h"),
        ("urn:a", "urn:A"),
        ("http://h/a-b", "http://h/ab"),
    ],
)
def test_uris_that_differ_are_not_equivalent(one, other):
    assert not Uri.parse(one).equivalent(Uri.parse(other))
    assert not Uri.parse(other).equivalent(Uri.parse(one))


def test_uri_equivalence_is_not_transitive():
    on, off, bare = (Uri.parse(f"sip:a@h{tail}") for tail in (";x=on", ";x=off", ""))
    assert on.equivalent(bare)
    assert bare.equivalent(off)
    assert not on.equivalent(off)


@pytest.mark.parametrize("code", ["00", "0d", "0A", "1b", "7F"])
def test_an_escaped_control_character_stays_escaped(code):
    uri = Uri.parse(f"sip:a%{code}b@h;x=%{code}?y=%{code}&z%{code}=1")
    plain = [uri.number, uri.dialled, uri.parameter("x"), uri.header("y")]
    assert plain == [f"a%{code}b", f"a%{code}b", f"%{code}", f"%{code}"]
    assert Uri.parse(f"sip:a%20%C3%A9%{code}@h").number == f"a é%{code}"


def test_received_latin_1_text_is_encoded_as_utf_8_after_it_was_changed():
    assert encode(Latin1Text("é")) == b"\xe9"
    assert encode(Latin1Text("é") + "") == "é".encode()
    assert Headers([("X", Latin1Text(" é "))]).get("X") == "é"
    assert isinstance(Headers([("X", Latin1Text(" é "))]).get("X"), Latin1Text)


@pytest.mark.parametrize(
    ("text", "hop"),
    [
        ("SIP / 2.0 / UDP first.example.com: 4000;ttl=16 ;maddr=224.2.0.1 ;branch=z9hG4bKa7.1",
         ("UDP", "first.example.com", 4000, "z9hG4bKa7.1")),
        ("sip/2.0/tls-sctp [2001:db8::1] : 5061 ; branch = 1",
         ("TLS-SCTP", "2001:db8::1", 5061, "1")),
        ("SIP/2.0/WS df7jal23ls0d.invalid;branch=z9hG4bK56;rport=",
         ("WS", "df7jal23ls0d.invalid", None, "z9hG4bK56")),
        ('SIP/2.0/UDP h_1.example;x="a;b,c";branch=2', ("UDP", "h_1.example", None, "2")),
    ],
)  # fmt: skip
def test_vias_of_the_rfc_and_of_real_phones_are_parsed(text, hop):
    via = Via.parse(text)
    assert (via.transport, via.host, via.port, via.branch) == hop
    assert Via.parse(str(via)) == via


def test_an_empty_element_of_a_list_is_dropped():
    assert split_list(" , a ,, b,\t,") == ["a", "b"]
