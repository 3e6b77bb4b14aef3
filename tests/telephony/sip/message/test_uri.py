"""SIP and tel URIs: parsed, written and compared (RFC 3261 19.1)."""

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from telephony.errors import ProtocolError, SipParseError
from telephony.sip.message.uri import Uri, escape_header, escape_user, parse_host_port

ALNUM = string.ascii_letters + string.digits
HOSTS = st.one_of(
    st.from_regex(r"[a-z0-9]([a-z0-9\-]{0,8}[a-z0-9])?(\.[a-z]{2,5}){0,2}", fullmatch=True),
    st.ip_addresses().map(str),
)
NAMES = st.text(ALNUM + "-.", min_size=1, max_size=8)
VALUES = st.text(min_size=1, max_size=8).map(lambda text: escape_header(text).replace("?", ""))
PARAMETERS = st.lists(st.tuples(NAMES, st.none() | VALUES.filter(bool)), max_size=3).map(tuple)
SIP_URIS = st.builds(
    Uri,
    scheme=st.sampled_from(["sip", "sips"]),
    user=st.none() | st.text(st.characters(exclude_categories=["Cs"]), min_size=1).map(escape_user),
    host=HOSTS,
    port=st.none() | st.integers(0, 65535),
    parameters=PARAMETERS,
    headers=st.lists(st.tuples(NAMES, VALUES), max_size=2).map(tuple),
)
TEL_URIS = st.builds(
    Uri,
    scheme=st.just("tel"),
    user=st.from_regex(r"\+?[0-9.\-()]{1,15}", fullmatch=True),
    parameters=PARAMETERS,
)


@given(SIP_URIS | TEL_URIS)
def test_a_uri_round_trips(uri):
    assert Uri.parse(str(uri)) == uri
    assert uri.equivalent(uri)


@given(st.text() | st.text(string.printable).map("sip:{}".format))
def test_any_text_is_parsed_as_a_uri_or_raises_sip_parse_error(text):
    try:
        uri = Uri.parse(text)
    except SipParseError:
        return
    assert Uri.parse(str(uri)) == uri


WIDE = st.sampled_from("aé€😀#% &;=?")
TEMPLATES = st.sampled_from(
    ["sip:{}@h", "sip:u:{}@h", "sip:h;a={}", "sip:h?a={}", "sip:h;{}", "tel:+44;ext={}", "sip:h?{}"]
)


@given(TEMPLATES, st.text(WIDE, min_size=1, max_size=4), st.integers(1, 2000))
def test_a_long_uri_is_refused_or_can_be_parsed_again_after_writing(template, piece, times):
    try:
        uri = Uri.parse(template.format(piece * times))
    except SipParseError:
        return
    assert Uri.parse(str(uri)) == uri


def test_a_uri_that_is_too_long_only_after_escaping_is_refused_with_414():
    fitting = "sip:" + "é" * 681 + "@h"
    assert Uri.parse(str(Uri.parse(fitting))) == Uri.parse(fitting)
    with pytest.raises(SipParseError) as raised:
        Uri.parse("sip:" + "é" * 682 + "@h")
    assert raised.value.status == 414


@pytest.mark.parametrize(
    ("text", "uri"),
    [
        ("sip:host", Uri("sip", None, None, "host")),
        ("SIPS:a:pw@h.example:5061", Uri("sips", "a", "pw", "h.example", 5061)),
        ("sip:a@[2001:db8::1]:5060", Uri("sip", "a", None, "2001:db8::1", 5060)),
        ("sip:a;b=c@h;lr", Uri("sip", "a;b=c", None, "h", None, (("lr", None),))),
        ("sip:h;lr;;maddr=1.2.3.4", Uri(host="h", parameters=(("lr", None), ("maddr", "1.2.3.4")))),
        ("tel:+44-29;phone-context=x", Uri("tel", "+44-29", parameters=(("phone-context", "x"),))),
        ("urn:service:sos", Uri("urn", "service:sos")),
        ("sip:*21#@h", Uri("sip", "*21%23", None, "h")),
        ("sip:a b@h", Uri("sip", "a%20b", None, "h")),
        ("sip:100%@h", Uri("sip", "100%25", None, "h")),
    ],
)  # fmt: skip
def test_uris_of_the_rfc_and_of_real_phones_are_parsed(text, uri):
    assert Uri.parse(text) == uri


@pytest.mark.parametrize(
    "text",
    ["", "sip", "sip:", "sip:a@", "sip:a@h@i", "sip:a@h:99999", "sip:a@[::g]", "sip:a@[1.2.3.4]",
     "sip:a@h:x", "tel:", "tel:1?a=b", "sip:a@h\r\nVia: x", "sip:a\r\nb@h", "sip:a@h;x=\0", "1:a",
     "sip:a@h i", "sip:" + "a" * 5000 + "@h"],
)  # fmt: skip
def test_an_invalid_uri_is_refused(text):
    with pytest.raises(SipParseError):
        Uri.parse(text)


@pytest.mark.parametrize(
    "wrong",
    [{"user": "a\r\nb"}, {"user": "a@b"}, {"host": "a b"}, {"port": 70000}, {"scheme": "x y"},
     {"parameters": (("a", "b;c"),)}, {"headers": (("a", "b&c"),)}, {"password": "x"},
     {"user": ""}],
)  # fmt: skip
def test_building_an_invalid_uri_raises_protocol_error(wrong):
    with pytest.raises(ProtocolError):
        Uri(**{"scheme": "sip", "host": "h"} | wrong)


def test_an_ipv6_host_is_accepted_with_or_without_brackets():
    assert Uri(host="[::1]") == Uri(host="::1")
    assert str(Uri(host="::1", port=5060)) == "sip:[::1]:5060"
    assert parse_host_port("[::1]:1") == ("::1", 1)


def test_a_replaces_header_in_a_uri_is_unescaped():
    replaces = "a84b@1.2.3.4;to-tag=1;from-tag=2"
    escaped = Uri.parse(f"sip:b@h?Subject=x&Replaces={escape_header(replaces)}")
    assert escaped.header("replaces") == replaces
    assert Uri.parse(f"sip:b@h?Replaces={replaces}").header("Replaces") == replaces
    assert escaped.header("Route") is None
    assert str(escaped.without_headers()) == "sip:b@h"


def test_the_number_of_a_uri_has_no_escapes_or_separators():
    assert Uri.parse("sip:%2B4429@h").number == "+4429"
    assert Uri.parse("tel:+44-(29)-20.87").number == "+44292087"


def test_uri_parameters_are_unescaped():
    uri = Uri.parse("sip:a@h;x=%41;lr")
    assert (uri.parameter("X"), uri.parameter("lr"), uri.parameter("y")) == ("A", "", None)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("sip:%61lice@atlanta.com;transport=TCP", "sip:alice@AtlanTa.CoM;Transport=tcp"),
        ("sip:carol@chicago.com", "sip:carol@chicago.com;newparam=5"),
        ("sip:carol@chicago.com", "sip:carol@chicago.com;security=on"),
        ("sip:biloxi.com;transport=tcp;method=REGISTER?to=sip:bob%40biloxi.com",
         "sip:biloxi.com;method=REGISTER;transport=tcp?to=sip:bob%40biloxi.com"),
        ("sip:a@[::1]", "sip:a@[0:0:0:0:0:0:0:1]"),
        ("tel:+44-29", "tel:+4429"),
    ],
)  # fmt: skip
def test_the_equivalent_uris_of_rfc_3261_19_1_4_are_equivalent(one, other):
    assert Uri.parse(one).equivalent(Uri.parse(other))
    assert Uri.parse(other).equivalent(Uri.parse(one))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("SIP:ALICE@AtLanTa.CoM;Transport=udp", "sip:alice@AtLanTa.CoM;Transport=UDP"),
        ("sip:bob@biloxi.com", "sip:bob@biloxi.com:5060"),
        ("sip:bob@biloxi.com", "sip:bob@biloxi.com;transport=udp"),
        ("sip:carol@chicago.com", "sip:carol@chicago.com?Subject=next%20meeting"),
        ("sip:carol@chicago.com;security=off", "sip:carol@chicago.com;security=on"),
        ("sip:a@h", "sips:a@h"),
        ("sip:a%3Bb@h", "sip:a;b@h"),
        ("tel:+4429", "tel:+4428"),
    ],
)
def test_the_different_uris_of_rfc_3261_19_1_4_are_not_equivalent(one, other):
    assert not Uri.parse(one).equivalent(Uri.parse(other))


@pytest.mark.parametrize(
    "text",
    [
        "sip:%2B441632960123@h",
        "sip:+441632960123;phone-context=example.com@h;user=phone",
        "sip:+441632960123;npdi;rn=+4412@h",
        "sip:+44-1632-960123@h;user=phone",
        "tel:+44-(1632)-960.123;ext=7",
    ],
)
def test_a_dialled_number_is_the_same_in_every_notation(text):
    assert Uri.parse(text).dialled == "+441632960123"


def test_a_dialled_name_keeps_its_dots_and_a_feature_code_is_unescaped():
    assert Uri.parse("sip:john.smith-2@h").dialled == "john.smith-2"
    assert Uri.parse("sip:%2A71%23@h").dialled == "*71#"
    assert Uri.parse("sip:h").dialled == ""
