"""SDP in the bodies of messages, and bodies that are not understood (RFC 3261 8.2.3, RFC 5621)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from telephony.b2bua.bodies import description
from telephony.errors import ParseError, SipParseError
from telephony.sip.message.headers import Headers
from telephony.sip.message.messages import Request, Response
from telephony.sip.message.uri import Uri

SDP = b"v=0\r\no=- 1 1 IN IP4 192.0.2.9\r\ns=%b\r\nt=0 0\r\n"
OPTIONAL = "Content-Disposition: signal;handling=optional"
REQUIRED = "Content-Disposition: signal;handling=required"


def part(kind, body=b"hello", *fields):
    head = "\r\n".join([f"Content-Type: {kind}", *fields])
    return head.encode() + b"\r\n\r\n" + body


def sdp(name="-", *fields):
    return part("application/sdp", SDP % name.encode(), *fields)


def multipart(subtype, *parts, boundary="x", parameters=""):
    mark = b"--" + boundary.encode()
    body = b"".join(mark + b"\r\n" + each + b"\r\n" for each in parts) + mark + b"--\r\n"
    return f"multipart/{subtype};boundary={boundary}{parameters}", body


def invite(kind, body, *fields):
    headers = Headers([("Content-Type", kind), *(field.split(": ") for field in fields)])
    return Request("INVITE", Uri(host="h"), headers, body)


def name_in(message):
    found = description(message)
    return None if found is None else next(ln.value for ln in found.lines if ln.type == "s")


def refused_with(message):
    with pytest.raises(SipParseError) as raised:
        description(message)
    return raised.value.status


def test_an_offer_inside_a_multipart_body_is_used(world):
    body = b"--x\r\nContent-Type: application/sdp\r\n\r\n" + world.a.sdp() + b"\r\n--x--\r\n"
    world.a.call(body=body, headers=(("Content-Type", "multipart/mixed;boundary=x"),))
    world.net.run(1)
    assert world.a.statuses[-1] == 200
    assert world.b.invites[0].request.content_type == "application/sdp"
    world.a.hang_up()
    world.assert_clean()


def test_an_invite_whose_required_parts_have_no_sdp_gets_415_and_the_accepted_types(world):
    kind, body = multipart("mixed", part("text/plain"))
    world.a.call(body=body, headers=(("Content-Type", kind),))
    world.net.run(1)
    answer = world.a.responses[-1]
    assert (answer.status, answer.headers.get("Accept-Encoding")) == (415, "identity")
    assert "multipart/alternative" in (answer.headers.get("Accept") or "")
    assert world.b.invites == []


def test_a_reinvite_with_a_required_unknown_body_gets_415_and_the_accepted_types(world):
    world.talk()
    world.a.ask("INVITE", (("Content-Type", "text/plain"),), b"hello")
    world.net.run(1)
    assert world.a.statuses[-1] == 415
    assert "application/sdp" in (world.a.responses[-1].headers.get("Accept") or "")
    world.a.hang_up()
    world.assert_clean()


@pytest.mark.parametrize(
    ("kind", "body"),
    [("application/ISUP", b"\1\2"), multipart("mixed", part("application/ISUP", b"x", OPTIONAL))],
)
def test_an_invite_with_only_an_optional_unknown_body_is_answered_with_our_offer(world, kind, body):
    world.a.call(
        body=body,
        headers=(("Content-Type", kind), ("Content-Disposition", "signal;handling=optional")),
    )
    world.net.run(1)
    assert world.b.invites[0].request.body == b""
    assert world.a.statuses[-1] == 200
    assert world.a.responses[-1].content_type == "application/sdp"


def test_a_single_body_that_is_unknown_is_refused_unless_it_is_optional():
    assert refused_with(invite("text/plain", b"x")) == 415
    assert refused_with(invite("text/plain", b"x", REQUIRED)) == 415
    assert description(invite("text/plain", b"x", OPTIONAL)) is None
    assert description(invite("text/plain", b"x", OPTIONAL.replace("opt", "Opt"))) is None


def test_an_encoded_body_is_refused_unless_it_is_optional():
    encoded = "Content-Encoding: gzip"
    assert refused_with(invite("application/sdp", SDP, encoded)) == 415
    assert description(invite("application/sdp", SDP, encoded, OPTIONAL)) is None


def test_an_unknown_part_next_to_sdp_is_refused_only_if_its_handling_is_required():
    unknown = part("application/pidf+xml")
    assert name_in(invite(*multipart("mixed", unknown, sdp("used")))) == "used"
    required = part("application/ISUP", b"x", REQUIRED)
    assert refused_with(invite(*multipart("mixed", sdp(), required))) == 415
    optional = part("application/ISUP", b"x", OPTIONAL)
    assert name_in(invite(*multipart("mixed", optional, sdp("used")))) == "used"


LOCATION = b"""<?xml version="1.0"?>
<presence xmlns="urn:ietf:params:xml:ns:pidf" entity="pres:201@galwad.example">
  <tuple id="office"><status><geopriv xmlns="urn:ietf:params:xml:ns:pidf:geopriv10">
    <location-info><civicAddress
      xmlns="urn:ietf:params:xml:ns:pidf:geopriv10:civicAddr"><country>GB</country></civicAddress>
    </location-info><usage-rules/></geopriv></status></tuple>
</presence>"""


@pytest.mark.parametrize(
    "fields",
    [
        (),
        ("Content-ID: <place@galwad.example>",),
        (OPTIONAL,),
        ("Content-Disposition: render;handling=required",),
        ("Content-Disposition: by-reference;handling=required", "Content-ID: <p@galwad.example>"),
    ],
)
@pytest.mark.parametrize("first", [True, False])
def test_a_body_with_the_callers_location_is_never_a_reason_to_refuse_a_call(fields, first):
    parts = [part("application/pidf+xml;charset=utf-8", LOCATION, *fields), sdp("used")]
    if not first:
        parts.reverse()
    assert name_in(invite(*multipart("mixed", *parts))) == "used"
    nested = multipart("mixed", *parts, boundary="y")
    outer = part(nested[0], nested[1])
    assert name_in(invite(*multipart("mixed", outer))) == "used"


def test_an_invite_with_only_the_location_of_the_caller_has_no_offer():
    assert description(invite("application/pidf+xml", LOCATION)) is None
    kind, body = multipart("mixed", part("application/pidf+xml", LOCATION))
    assert description(invite(kind, body)) is None


def test_the_last_alternative_that_is_sdp_is_used():
    parts = sdp("plain"), sdp("rich"), part("application/x-new")
    assert name_in(invite(*multipart("alternative", *parts))) == "rich"
    assert refused_with(invite(*multipart("alternative", part("text/plain")))) == 415


def test_the_root_of_a_related_body_is_used():
    picture, first, named = part("image/png"), sdp("first"), sdp("named", "Content-ID: <b@h>")
    assert name_in(invite(*multipart("related", first, picture, named))) == "first"
    start = ';type="application/sdp";start="<b@h>"'
    related = multipart("related", picture, named, parameters=start)
    assert name_in(invite(*related)) == "named"
    assert refused_with(invite(*multipart("related", picture, sdp()))) == 415


def test_sdp_in_nested_multipart_bodies_is_found_up_to_a_fixed_depth():
    kind, body = multipart("alternative", sdp("deep"), boundary="a")
    nested = multipart("mixed", part("text/plain"), part(kind, body))
    assert name_in(invite(*nested)) == "deep"
    inner = sdp()
    for level in range(9):
        kind, body = multipart("mixed", inner, boundary=f"b{level}")
        inner = part(kind, body)
    assert refused_with(invite(kind, body)) == 415


def test_sdp_for_an_early_session_does_not_describe_the_call():
    early = sdp("early", "Content-Disposition: early-session;handling=optional")
    assert name_in(invite(*multipart("mixed", early, sdp("call")))) == "call"


def test_an_unknown_body_of_a_response_is_ignored():
    response = Response(200, headers=Headers([("Content-Type", "text/plain")]), body=b"x")
    assert description(response) is None


PARTS = st.sampled_from([sdp("a"), part("text/plain"), part("a/b", b"", OPTIONAL), b"", b"x"])
KINDS = st.sampled_from(["mixed", "alternative", "related", "x-unknown"])
BODIES = st.recursive(
    PARTS,
    lambda inner: st.builds(
        lambda kind, parts, mark: part(*multipart(kind, *parts, boundary=f"m{mark}")),
        KINDS, st.lists(inner, max_size=4), st.integers(0, 9),
    ),
    max_leaves=12,
)  # fmt: skip


@given(KINDS, st.lists(BODIES, max_size=4))
def test_any_nested_body_gives_sdp_or_nothing_or_is_refused(kind, parts):
    try:
        found = description(invite(*multipart(kind, *parts)))
    except ParseError as error:
        status = error.status
    else:
        status = 200 if found is None else int(found.lines[0].value) + 200
    assert status in {200, 400, 413, 415}
