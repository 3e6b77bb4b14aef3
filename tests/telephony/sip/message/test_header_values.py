"""The values of header fields: addresses with names, Via, CSeq and Replaces (RFC 3891)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from telephony.errors import ProtocolError, SipParseError
from telephony.sip.message.header_values import CSeq, NameAddr, Replaces, Via
from telephony.sip.message.headers import Headers
from telephony.sip.message.uri import Uri

LINE = st.text(st.characters(exclude_characters="\r\n\0", exclude_categories=["Cs"]), max_size=20)
TOKENS = st.from_regex(r"[A-Za-z0-9\-.!%*_+`'~]{1,8}", fullmatch=True)
QUOTED = LINE.map(lambda text: '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"')
PARAMETERS = st.lists(st.tuples(TOKENS, st.none() | TOKENS | QUOTED), max_size=3).map(tuple)
URIS = st.sampled_from(["sip:a@h;lr", "sips:[::1]:5061", "tel:+44-29;x=1", "sip:h?Replaces=a%40b"])


@given(st.builds(NameAddr, LINE, URIS.map(Uri.parse), PARAMETERS))
def test_a_name_addr_round_trips(address):
    assert NameAddr.parse(str(address)) == address
    assert NameAddr.parse_list(f"{address}, {address}") == [address, address]


@given(
    st.builds(
        Via,
        st.sampled_from(["UDP", "TCP", "TLS"]),
        st.sampled_from(["h.example", "192.0.2.1", "2001:db8::1"]),
        st.none() | st.integers(0, 65535),
        PARAMETERS,
    )
)
def test_a_via_round_trips(via):
    assert Via.parse(str(via)) == via


@given(st.builds(CSeq, st.integers(0, 2**31 - 1), TOKENS))
def test_a_cseq_round_trips(cseq):
    assert CSeq.parse(str(cseq)) == cseq


@pytest.mark.parametrize("parse", [NameAddr.parse, NameAddr.parse_list, Via.parse, CSeq.parse])
@given(
    text=st.text()
    | st.text('<>"\\;,=: @sipSIP/2.0UDP1[]?%&').map("sip:{}".format)
    | st.text('<>"\\;,=: @1[]?%&').map("SIP/2.0/UDP {}".format)
)
def test_any_text_is_parsed_as_a_header_value_or_raises_sip_parse_error(parse, text):
    try:
        value = parse(text)
    except SipParseError:
        return
    if not isinstance(value, list):
        assert parse(str(value)) == value


@pytest.mark.parametrize(
    ("text", "name", "uri", "parameters"),
    [
        ('"Desk 12" <sip:12@h>;+sip.instance="<urn:uuid:1>"', "Desk 12", "sip:12@h",
         (("+sip.instance", '"<urn:uuid:1>"'),)),
        ('sip:12@h;+sip.instance="<urn:uuid:1>"', "", "sip:12@h",
         (("+sip.instance", '"<urn:uuid:1>"'),)),
        ("sip:12@h;tag=1", "", "sip:12@h", (("tag", "1"),)),
        ("<sip:12@h;lr>", "", "sip:12@h;lr", ()),
        ("Bob Jones <sip:12@h> ; tag = 1", "Bob Jones", "sip:12@h", (("tag", "1"),)),
        (r'"A \"B\" \\, <x>"<sip:12@h>', r'A "B" \, <x>', "sip:12@h", ()),
        ("<sip:12@h?Replaces=a@b;to-tag=1;from-tag=2>", "",
         "sip:12@h?Replaces=a%40b%3Bto-tag%3D1%3Bfrom-tag%3D2", ()),
        ("Siân <tel:+4429>", "Siân", "tel:+4429", ()),
    ],
)  # fmt: skip
def test_addresses_as_real_phones_write_them_are_parsed(text, name, uri, parameters):
    assert NameAddr.parse(text) == NameAddr(name, Uri.parse(uri), parameters)


@pytest.mark.parametrize(
    "text",
    ["", "*", "<>", "<sip:a@h", '"a', '"a" sip:a@h', "<sip:a@h> x", "sip:a@h;=1", '<sip:a@h>;a="b',
     "<sip:a@h>;a=b c"],
)  # fmt: skip
def test_an_invalid_address_is_refused(text):
    with pytest.raises(SipParseError):
        NameAddr.parse(text)


def test_a_tag_can_be_set_replaced_and_removed():
    address = NameAddr.parse("<sip:a@h>;x=1")
    assert address.tag is None
    assert address.with_tag("t").tag == "t"
    assert str(address.with_tag("t").with_tag("u")) == "<sip:a@h>;x=1;tag=u"
    assert address.with_tag("t").with_tag(None) == address


@pytest.mark.parametrize("tag", ["a\r\nVia: x", "a b", "a;b", 'a"', "a,b"])
def test_a_tag_with_separators_or_line_breaks_raises_protocol_error(tag):
    with pytest.raises(ProtocolError):
        NameAddr("", Uri(host="h")).with_tag(tag)


def test_a_display_name_with_a_line_break_raises_protocol_error():
    with pytest.raises(ProtocolError):
        NameAddr("a\r\nVia: x", Uri(host="h"))


def test_a_via_is_parsed_with_transport_host_port_branch_rport_and_received():
    via = Via.parse("SIP / 2.0 / udp [2001:db8::9]:5070 ;branch=z9hG4bK1;rport=9;received=[::1]")
    assert (via.transport, via.host, via.port) == ("UDP", "2001:db8::9", 5070)
    assert (via.branch, via.parameter("rport"), via.received) == ("z9hG4bK1", "9", "::1")
    asked = Via.parse("SIP/2.0/UDP h : 5060;rport")
    assert (asked.parameter("rport"), asked.received, asked.branch) == ("", None, None)
    assert asked.port == 5060
    assert asked.with_parameter("received", "::1").received == "::1"


@pytest.mark.parametrize(
    "text", ["", "SIP/2.0/UDP", "SIP/3.0/UDP h", "SIP/2.0/UDP h:70000", "SIP/2.0/UDP h x", "UDP h"]
)
def test_an_invalid_via_is_refused(text):
    with pytest.raises(SipParseError):
        Via.parse(text)


@pytest.mark.parametrize("text", ["", "1", "INVITE 1", "-1 INVITE", "2147483648 INVITE", "1 A B"])
def test_an_invalid_cseq_is_refused(text):
    with pytest.raises(SipParseError):
        CSeq.parse(text)


def test_header_names_match_without_case_in_long_and_compact_form():
    headers = Headers([("v", "1"), ("X-Odd", "2"), ("VIA", "3")])
    assert headers.get_all("Via") == ["1", "3"]
    assert headers.get("x-odd") == "2"
    assert headers.items() == [("v", "1"), ("X-Odd", "2"), ("VIA", "3")]
    assert "via" in headers
    assert "To" not in headers


def test_headers_are_changed_in_place_and_keep_their_order():
    headers = Headers([("A", "1"), ("B", "2"), ("a", "3")])
    headers.set("a", "4")
    headers.replace_first("B", "6", "7")
    headers.set("D", 8)
    assert headers.items() == [("a", "4"), ("B", "6"), ("B", "7"), ("D", "8")]
    headers.remove("b")
    assert len(headers) == 2
    assert headers == Headers(headers)


def test_a_list_header_is_joined_across_lines_and_split_at_commas():
    headers = Headers([("k", "timer, 100rel"), ("Supported", "replaces")])
    assert headers.get_list("Supported") == ["timer", "100rel", "replaces"]
    assert headers.get_list("Require") == []


@pytest.mark.parametrize("pair", [("A", "b\r\nc"), ("A", "b\nc"), ("A", "\0"), ("A b", "c"),
                                  ("", "c"), ("A:", "c"), ("A\r\n", "c")])  # fmt: skip
def test_a_header_with_a_line_break_or_an_invalid_name_raises_protocol_error(pair):
    with pytest.raises(ProtocolError):
        Headers([pair])


def test_the_repr_of_headers_shows_no_values():
    assert "07700900123" not in repr(Headers([("From", "<tel:07700900123>")]))


TAGS = st.text("abcXYZ019-.!%*_+`'~", min_size=1)


@given(TAGS, TAGS, TAGS, st.booleans())
def test_a_replaces_header_round_trips(call_id, to_tag, from_tag, early_only):
    replaces = Replaces(f"{call_id}@host", to_tag, from_tag, early_only)
    assert Replaces.parse(str(replaces)) == replaces


def test_the_examples_of_rfc_3891_are_parsed():
    text = "98732@sip.example.com\r\n ;from-tag=r33th4x0r\r\n ;to-tag=ff87ff"
    assert Replaces.parse(text) == Replaces("98732@sip.example.com", "ff87ff", "r33th4x0r")
    text = "12adf2f34456gs5;to-tag=12345;from-tag=54321;early-only"
    assert Replaces.parse(text).early_only
    text = "87134@171.161.34.23;To-Tag=24796; FROM-TAG = 0"
    assert Replaces.parse(text) == Replaces("87134@171.161.34.23", "24796", "0")


@pytest.mark.parametrize(
    "text",
    [
        "",
        ";to-tag=1;from-tag=2",
        "a;to-tag=1",
        "a;from-tag=1",
        "a;to-tag=;from-tag=1",
        "a b;to-tag=1;from-tag=2",
        "a;to-tag=1;to-tag=1;from-tag=2",
        'a;to-tag="1";from-tag=2',
    ],
)
def test_a_replaces_header_that_identifies_no_dialog_is_refused(text):
    with pytest.raises(SipParseError):
        Replaces.parse(text)


@given(st.text())
def test_any_text_is_parsed_as_replaces_or_raises_sip_parse_error(text):
    try:
        Replaces.parse(text)
    except SipParseError:
        return
