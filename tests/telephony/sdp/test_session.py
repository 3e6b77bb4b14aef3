"""Session descriptions (RFC 8866) and the IP addresses in them: parsed, written, or refused."""

from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from telephony.errors import ProtocolError, SdpParseError
from telephony.sdp import Codec, Direction, SdpLine, SessionDescription, remote_media
from telephony.sdp.media import ip_literal

WORDS = st.sampled_from(
    [
        "v=0", "o=- 1 1 IN IP4 192.0.2.1", "s=-", "c=IN IP4 192.0.2.1", "c=IN IP6 ::", "t=0 0",
        "c=IN IP4", "m=audio 9 RTP/AVP 0 8 101", "m=audio 0 RTP/SAVP 0", "m=video 5/2 udp x",
        "m=audio 99999 RTP/AVP 0", "a=rtpmap:101 telephone-event/8000", "a=rtpmap:0 x/y/z",
        "a=rtpmap:٣ L16/8000/2", "a=fmtp:101", "a=rtcp:٣", "a=sendonly", "a=", "=", "x=y", "", "\0",
        "a=rtpmap:101 L16/0", "m=audio ² RTP/AVP ²", "m=video 0 RTP/AVP", "c=ATM NSAP 47",
        "a=rtpmap:101 iLBC", "m=video 4 RTP/AVP",
    ]
)  # fmt: skip


def test_every_line_of_a_description_is_kept_in_order(sdp):
    text = sdp("a=ptime:20", "y=unknown", "a=x-odd: kept ", session=["q=1", "b=AS:64"])
    assert str(SessionDescription.parse(text)) == text


def test_bare_line_feeds_are_read_and_written_as_crlf(sdp):
    text = sdp("a=ptime:20")
    assert str(SessionDescription.parse(text.replace("\r\n", "\n"))) == text


def test_bytes_that_are_not_utf8_are_kept(sdp):
    data = sdp("a=note:").encode().replace(b"a=note:", b"a=note:\xff\xfe")
    assert bytes(SessionDescription.parse(data)) == data


def test_static_payload_types_need_no_rtpmap(sdp):
    session = SessionDescription.parse(sdp(m="audio 4000 RTP/AVP 8 0 9 18 13 96"))
    names = [codec.name for codec in session.media[0].codecs().values()]
    assert names == ["PCMA", "PCMU", "G722", "G729", "CN"]


def test_a_codec_is_read_with_name_clock_channels_and_fmtp(sdp):
    session = SessionDescription.parse(
        sdp("a=rtpmap:111 opus/48000/2", "a=fmtp:111 useinbandfec=1", m="audio 1 RTP/AVP 111")
    )
    assert session.media[0].codecs() == {111: Codec("opus", 48_000, 2, "useinbandfec=1")}


@pytest.mark.parametrize("direction", list(Direction))
def test_a_session_level_direction_applies_to_its_media(sdp, direction):
    session = SessionDescription.parse(sdp(session=[f"a={direction}"]))
    assert session.direction(0) is direction


def test_a_media_level_direction_overrides_the_session_level_direction(sdp):
    session = SessionDescription.parse(sdp("a=sendonly", session=["a=inactive"]))
    assert session.direction(0) is Direction.SENDONLY


@pytest.mark.parametrize(("said", "meant"), [("sendrecv", "sendonly"), ("recvonly", "inactive")])
def test_an_unspecified_connection_address_means_hold(sdp, said, meant):
    session = SessionDescription.parse(sdp(f"a={said}", c="0.0.0.0"))
    assert session.direction(0) == meant


def test_a_media_level_connection_overrides_the_session_level_connection(sdp):
    session = SessionDescription.parse(sdp("c=IN IP6 2001:db8::1"))
    assert session.host(0) == "2001:db8::1"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "v=1\r\no=- 1 1 IN IP4 h\r\n",
        "v=0\r\ns=-\r\n",
        "v=0\r\no=- 1 1 IN IP4\r\n",
        "v=0\r\no=- 1 1 IN IP4 h\r\nm=audio\r\n",
        "v=0\r\no=- 1 1 IN IP4 h\r\nm=audio 70000 RTP/AVP 0\r\n",
        "v=0\r\no=- 1 1 IN IP4 h\r\nc=IN IP4\r\nm=audio 1 RTP/AVP 0\r\n",
        "v=0\r\no=- 1 1 IN IP4 h\r\nm=audio 1 RTP/AVP\r\n",
        "v=0\r\no=- 1 1 IN IP4 h\r\nm=video 0\r\n",
        "v=0\r\no=- 1 1 IN IP4 h\r\na=x\ry\r\n",
        "v=0\r\no=- 1 1 IN IP4 h\r\na=\0\r\n",
        "v=0\r\no=- 1 1 IN IP4 h\r\n" + "a=x\r\n" * 3000,
        "v=0\r\no=- 1 1 IN IP4 h\r\n" + "m=audio 1 RTP/AVP 0\r\n" * 40,
        "v=0" + " " * 70_000,
    ],
)
def test_a_malformed_description_raises_sdp_parse_error(text):
    with pytest.raises(SdpParseError):
        SessionDescription.parse(text)


@given(st.one_of(st.binary(max_size=300), st.text(max_size=300)))
def test_arbitrary_input_is_parsed_or_raises_sdp_parse_error(data):
    try:
        SessionDescription.parse(data)
    except SdpParseError:
        return


@given(st.lists(WORDS, max_size=12))
def test_hostile_lines_are_parsed_or_raise_sdp_parse_error(words):
    text = "\r\n".join(["v=0", "o=- 1 1 IN IP4 192.0.2.1", *words])
    try:
        session = SessionDescription.parse(text)
        assert SessionDescription.parse(str(session)) == session
        remote_media(session, session)
    except SdpParseError:
        return


def test_writing_a_line_that_contains_a_line_break_raises_protocol_error(sdp):
    session = SessionDescription.parse(sdp())
    forged = SessionDescription((*session.lines, SdpLine("a", "x\r\na=sendonly")), session.media)
    with pytest.raises(ProtocolError):
        str(forged)


def test_a_payload_type_whose_rtpmap_has_no_clock_is_not_offered_further(sdp):
    lines = ["a=rtpmap:98 iLBC", "a=fmtp:98 mode=30", "a=rtpmap:8 PCMA", "a=rtpmap:0 other"]
    found = SessionDescription.parse(sdp(*lines, m="audio 4000 RTP/AVP 98 8 0 9"))
    assert found.media[0].codecs() == {8: Codec("PCMA", 8000), 9: Codec("G722", 8000)}


@pytest.mark.parametrize("line", ["m=video 0 RTP/AVP", "m=video 5004 RTP/AVP", "m=audio 0 RTP/AVP"])
def test_an_m_line_without_formats_is_kept_if_its_section_is_declined_anyway(sdp, line):
    text = sdp(extra=[line])
    session = SessionDescription.parse(text)
    assert str(session) == text
    assert session.audio_index() == 0
    assert session.media[1].codecs() == {}


FOREIGN = ["ATM NSAP 47.0091.8100", "PSTN E164 +441632960123", "IN ATM x", "ATM NSAP a b"]


@pytest.mark.parametrize("data", FOREIGN)
@pytest.mark.parametrize("m", ["m=video 5004 RTP/AVP 31", "m=audio 5004 RTP/AVP 0"])
def test_a_section_with_the_address_of_another_network_is_not_used(sdp, data, m):
    own = SessionDescription.parse(sdp(extra=[m, f"c={data}"]))
    assert (own.audio_index(), own.host(0), own.host(1)) == (0, "192.0.2.5", None)
    assert own.direction(1) is Direction.SENDRECV
    text = sdp("c=IN IP4 192.0.2.5").replace("c=IN IP4 192.0.2.5", f"c={data}", 1)
    of_session = SessionDescription.parse(text)
    assert (of_session.audio_index(), of_session.host(0)) == (0, "192.0.2.5")


def test_unreadable_connection_data_is_ignored_in_video_and_refused_in_audio(sdp):
    assert SessionDescription.parse(sdp(extra=["m=video 2 RTP/AVP 31", "c=IN"])).host(1) is None
    with pytest.raises(SdpParseError):
        SessionDescription.parse(sdp("c=IN"))


def test_media_with_the_session_address_of_another_network_is_refused_with_488(sdp):
    session = SessionDescription.parse(sdp().replace("c=IN IP4 192.0.2.5", "c=ATM NSAP 47.0091"))
    with pytest.raises(SdpParseError) as raised:
        remote_media(session)
    assert raised.value.status == 488


@given(st.ip_addresses())
def test_ip_literal_returns_the_same_address_at_the_first_and_second_call(address):
    assert ip_literal(str(address)) == ip_literal(str(address)) == address
    assert type(ip_literal(str(address))) is type(ip_address(str(address)))


@pytest.mark.parametrize("text", ["", "pbx.example", "[2001:db8::1]", "192.0.2.256"])
def test_a_text_that_is_not_an_address_is_refused_each_time(text):
    for _ in range(2):
        with pytest.raises(ValueError, match="does not appear to be"):
            ip_literal(text)
