"""Offers and answers: forwarded from one leg to the other, or made by us.

Covers `telephony/sdp/agreement.py`, `telephony/sdp/codecs.py`, `telephony/sdp/media.py` and
`telephony/sdp/writing.py`.
"""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from telephony.errors import SdpParseError
from telephony.sdp import (
    DEFAULT_ALLOWED,
    Codec,
    Direction,
    LocalMedia,
    Origin,
    SessionDescription,
    cut_offer,
    forwarded_answer,
    forwarded_offer,
    own_answer,
    own_offer,
    payload_map,
    payload_rows,
    remote_media,
    rewrite,
    same_media,
)

parse = SessionDescription.parse
OFFER_LINES = (
    "a=rtpmap:96 iLBC/8000",
    "a=rtpmap:97 telephone-event/8000",
    "a=fmtp:97 0-15",
    "a=ptime:20",
    "a=x-colour:blue",
)
VIDEO = ("m=video 4002 RTP/AVP 99", "a=rtpmap:99 H264/90000")


def names(section):
    return [codec.name for codec in section.codecs().values()]


@pytest.fixture
def offer(sdp):
    return parse(sdp(*OFFER_LINES, m="audio 4000 RTP/AVP 96 8 0 97", extra=VIDEO))


def test_an_offer_is_reduced_to_the_allowed_codecs_in_the_offers_order(offer):
    audio = cut_offer(offer).media[0]
    assert audio.formats == ("8", "0", "97")
    text = str(audio)
    assert "iLBC" not in text
    assert all(line in text for line in ("a=fmtp:97 0-15", "a=ptime:20", "a=x-colour:blue"))


def test_cut_offer_refuses_a_video_section_at_its_position(offer):
    assert [(m.kind, m.port) for m in cut_offer(offer).media] == [("audio", 4000), ("video", 0)]


@pytest.mark.parametrize(
    "media",
    [
        "audio 4000 RTP/SAVP 0",
        "audio 4000 UDP/TLS/RTP/SAVPF 0",
        "audio 0 RTP/AVP 0",
        "audio 4000 RTP/AVP 3",
        "audio 4000 RTP/AVP 13",
        "video 4000 RTP/AVP 0",
    ],
)
def test_an_offer_without_an_acceptable_audio_stream_gets_488(sdp, media):
    with pytest.raises(SdpParseError) as caught:
        cut_offer(parse(sdp(m=media)))
    assert caught.value.status == 488


def test_of_an_srtp_and_a_plain_section_only_the_srtp_section_is_refused(sdp):
    both = parse(sdp(m="audio 4000 RTP/SAVP 0", extra=["m=audio 4002 RTP/AVP 0"]))
    assert [media.port for media in cut_offer(both).media] == [0, 4002]


def test_a_rewritten_description_contains_no_address_or_name_of_the_peer(sdp, local, origin):
    session = parse(
        sdp(
            "a=candidate:1 1 udp 1 192.0.2.5 4000 typ host",
            "a=rtcp:4001 IN IP4 192.0.2.5",
            "c=IN IP4 192.0.2.5",
            "a=rtcp-mux",
            "a=crypto:1 x inline:y",
            session=["p=+44 29 2018 0001", "a=ice-ufrag:abcd"],
        )
    )
    text = str(rewrite(session, local, origin))
    assert "192.0.2.5" not in text
    assert all(word not in text for word in ("alice", "Call", "2018", "ice", "crypto", "rtcp"))
    assert text.startswith("v=0\r\no=- 77 3 IN IP4 203.0.113.9\r\ns=-\r\nc=IN IP4 203.0.113.9\r\n")
    assert "m=audio 30000 RTP/AVP 0" in text


def test_information_lines_of_session_and_media_are_not_passed_on(sdp, local, origin):
    session = parse(sdp("i=Sian in Cardiff", "a=ptime:20", session=["i=Phone of Sian"]))
    text = str(rewrite(session, local, origin))
    assert "Sian" not in text
    assert "i=" not in text
    assert "a=ptime:20" in text


def test_a_description_can_be_rewritten_with_a_local_ipv6_address(sdp, origin):
    text = str(rewrite(parse(sdp()), LocalMedia("2001:db8::9", 30_000), origin))
    assert "c=IN IP6 2001:db8::9" in text


def test_hold_by_unspecified_address_is_forwarded_as_a_direction(sdp, local, origin):
    written = forwarded_offer(parse(sdp(c="0.0.0.0")), local, origin)
    assert written.direction(0) is Direction.SENDONLY
    assert written.host(0) == "203.0.113.9"


def test_the_answer_to_a_declined_section_without_formats_has_a_format(sdp, local, origin):
    offered = parse(sdp(extra=["m=video 0 RTP/AVP"]))
    answer = own_answer(offered, local, origin)
    assert str(answer.media[1]) == "m=video 0 RTP/AVP 0"


def test_a_payload_type_without_a_clock_is_left_out_of_the_forwarded_offer(sdp, local, origin):
    lines = ["a=rtpmap:98 iLBC", "a=fmtp:98 mode=30"]
    forwarded = forwarded_offer(parse(sdp(*lines, m="audio 4 RTP/AVP 98 0")), local, origin)
    assert forwarded.media[0].formats == ("0",)
    assert "iLBC" not in str(forwarded)
    assert "mode=30" not in str(forwarded)


@pytest.mark.parametrize("data", ["ATM NSAP 47.0091", "PSTN E164 +441632960123"])
def test_an_audio_section_of_another_network_is_declined_and_a_later_one_is_used(
    sdp, local, origin, data
):
    lines = [f"c={data}"]
    offered = parse(sdp(*lines, extra=["m=audio 4002 RTP/AVP 8"]))
    answer = own_answer(offered, local, origin)
    assert [section.port for section in answer.media] == [0, local.port]


def test_the_first_offer_to_a_leg_has_one_media_section(offer, local, origin):
    assert len(forwarded_offer(offer, local, origin).media) == 1


def test_a_later_offer_keeps_the_media_sections_of_the_previous_description(sdp, local, origin):
    said = parse(sdp(m="video 0 RTP/AVP 99", extra=["m=audio 5000 RTP/AVP 0"]))
    later = forwarded_offer(parse(sdp()), local, origin, previous=said)
    assert [(m.kind, m.port) for m in later.media] == [("video", 0), ("audio", 30_000)]


def test_a_forwarded_answer_uses_the_offers_payload_types_and_sections(sdp, offer, local, origin):
    answer = parse(
        sdp(
            "a=rtpmap:101 telephone-event/8000",
            "a=fmtp:101 0-15",
            "a=ptime:30",
            m="audio 6000 RTP/AVP 0 101",
        )
    )
    written = forwarded_answer(offer, answer, local, origin)
    assert [(m.kind, m.port) for m in written.media] == [("audio", 30_000), ("video", 0)]
    assert written.media[0].formats == ("0", "97")
    assert "a=fmtp:97 0-15" in str(written)
    assert "a=ptime:30" in str(written)
    assert "101" not in str(written)


@pytest.mark.parametrize("media", ["audio 0 RTP/AVP 0", "audio 6000 RTP/AVP 18"])
def test_an_answer_without_a_common_codec_or_stream_gets_488(sdp, offer, local, origin, media):
    with pytest.raises(SdpParseError) as caught:
        forwarded_answer(offer, parse(sdp(m=media)), local, origin)
    assert caught.value.status == 488


@pytest.mark.parametrize(
    ("asked", "said", "written"),
    [
        ("sendrecv", "sendrecv", "sendrecv"),
        ("sendonly", "sendrecv", "recvonly"),
        ("sendonly", "recvonly", "recvonly"),
        ("inactive", "sendrecv", "inactive"),
        ("sendrecv", "sendonly", "sendonly"),
    ],
)
def test_a_forwarded_answers_direction_stays_within_that_of_the_offer(sdp, asked, said, written):
    offer, answer = parse(sdp(f"a={asked}")), parse(sdp(f"a={said}"))
    got = forwarded_answer(offer, answer, LocalMedia("::1", 10), Origin(1))
    assert got.direction(0) == written


def test_payload_types_of_two_legs_are_mapped_by_codec(sdp, offer, local, origin):
    to_b = forwarded_offer(offer, local, origin)
    b = parse(sdp("a=rtpmap:101 telephone-event/8000", m="audio 6000 RTP/AVP 0 101"))
    to_a = forwarded_answer(offer, b, local, origin)
    remote_a, remote_b = remote_media(offer, to_a), remote_media(b, to_b)
    assert payload_map(remote_a.payloads, remote_b.accepts) == {0: 0, 97: 101}
    # B may send the number that we offered (97) or its own (101): both reach A as 97
    to_caller = payload_map(remote_b.payloads, remote_a.accepts)
    assert to_caller[97] == 97
    assert to_caller[101] == 97


def test_dtmf_is_recognised_under_a_payload_type_that_we_offered_for_another_codec(
    sdp, local, origin
):
    lines = ("a=rtpmap:96 opus/48000/2", "a=rtpmap:101 telephone-event/8000")
    asked = forwarded_offer(parse(sdp(*lines, m="audio 4000 RTP/AVP 96 0 101")), local, origin)
    said = parse(sdp("a=rtpmap:96 telephone-event/8000", m="audio 6000 RTP/AVP 0 96"))
    payloads = remote_media(said, asked).payloads
    assert [payloads[number].is_event for number in (0, 96, 101)] == [False, True, True]


def test_telephone_events_with_the_same_clock_are_matched_by_fmtp():
    sends = {100: Codec("telephone-event", 8000, 1, "0-15"), 101: Codec("telephone-event", 16_000)}
    accepts = {
        96: Codec("Telephone-Event", 8000, 1, "0-16"),
        97: Codec("telephone-event", 8000, 1, "0-15"),
    }
    assert payload_map(sends, accepts) == {100: 97}


def test_payload_rows_returns_plain_tuples_by_payload_type(sdp):
    assert payload_rows(remote_media(parse(sdp())).payloads) == {0: ("PCMU", 8000, 1, "")}


@pytest.mark.parametrize("host", ["phone.example", "224.0.0.1", "239.1.1.1/127"])
def test_a_media_address_that_is_not_a_unicast_literal_gets_488(sdp, host):
    with pytest.raises(SdpParseError) as caught:
        remote_media(parse(sdp(c=host)))
    assert caught.value.status == 488


@pytest.mark.parametrize(
    ("line", "port"), [("a=rtcp:5005", 5005), ("a=rtcp:x", 4001), ("a=x:1", 4001)]
)
def test_rtcp_goes_to_the_peers_rtcp_port_or_to_the_rtp_port_plus_one(sdp, line, port):
    assert remote_media(parse(sdp(line))).rtcp_port == port


@pytest.mark.parametrize(
    ("line", "host"),
    [
        ("a=rtcp:5005 IN IP4 192.0.2.7", "192.0.2.7"),
        ("a=rtcp:5005 IN IP4 192.0.2.5", ""),
        ("a=rtcp:5005 IN IP4 224.0.0.1", ""),
        ("a=rtcp:5005 IN IP4 0.0.0.0", ""),
        ("a=rtcp:5005 IN IP6 2001:db8::1", ""),
        ("a=rtcp:5005 IN IP4 phone.example", ""),
    ],
)
def test_a_separate_rtcp_address_is_used_only_if_it_is_a_usable_literal(sdp, line, host):
    assert remote_media(parse(sdp(line))).rtcp_host == host


def test_a_peer_that_names_the_null_address_receives_no_media_but_may_send(sdp):
    remote = remote_media(parse(sdp(c="0.0.0.0")))
    assert (remote.send, remote.receive) == (True, False)


def test_a_peer_that_got_sendonly_from_us_is_not_expected_to_send(sdp):
    remote = remote_media(parse(sdp()), parse(sdp("a=sendonly")))
    assert (remote.send, remote.receive) == (False, True)


def test_our_own_offer_is_complete_and_readable(local, origin):
    offer = parse(str(own_offer(local, origin, direction=Direction.SENDONLY)))
    assert names(offer.media[0]) == ["PCMA", "PCMU", "G722", "telephone-event"]
    assert offer.media[0].formats == ("8", "0", "9", "101")
    assert offer.direction(0) is Direction.SENDONLY
    assert remote_media(offer).host == local.host


def test_dynamic_codecs_in_our_own_offer_get_free_payload_types(local, origin):
    codecs = [Codec("opus", 48_000, 2), Codec("L16", 16_000), Codec("telephone-event", 48_000)]
    offer = own_offer(local, origin, codecs=codecs)
    assert offer.media[0].formats == ("96", "97", "101")


def test_our_own_answer_selects_the_first_codec_and_its_telephone_events(offer, local, origin):
    answer = own_answer(offer, local, origin)
    assert [m.port for m in answer.media] == [30_000, 0]
    assert names(answer.media[0]) == ["PCMA", "telephone-event"]


def test_our_own_answer_reverses_the_offers_direction(sdp, local, origin):
    assert own_answer(parse(sdp("a=sendonly")), local, origin).direction(0) == "recvonly"


def test_a_refresh_that_changes_only_the_origin_is_the_same_media(sdp):
    one = sdp("a=ptime:20")
    assert same_media(parse(one), parse(one.replace("alice 1 1", "alice 1 2")))


@pytest.mark.parametrize(
    ("old", "new"),
    [("4000", "4002"), ("192.0.2.5", "0.0.0.0"), ("AVP 0", "AVP 8"), ("ptime:20", "ptime:30")],
)
def test_a_changed_port_address_codec_or_attribute_is_different_media(sdp, old, new):
    one = sdp("a=ptime:20")
    assert not same_media(parse(one), parse(one.replace(old, new)))


def test_a_missing_description_equals_only_a_missing_description(sdp):
    assert same_media(None, None)
    assert not same_media(parse(sdp()), None)


@given(
    st.permutations(["0", "8", "9", "18", "3", "96", "97", "101"]),
    st.integers(2, 8),
    st.sampled_from(["a=sendonly", "a=sendrecv", "a=inactive", "a=foo"]),
)
def test_forwarded_offers_and_answers_can_be_parsed_again(formats, count, line):
    rows = ["v=0", "o=- 1 1 IN IP4 192.0.2.1", "s=-", "c=IN IP4 192.0.2.1", "t=0 0"]
    rows += [f"m=audio 9 RTP/AVP 8 {' '.join(formats[:count])}", "a=rtpmap:96 opus/48000/2", line]
    offer = parse("\r\n".join([*rows, "a=rtpmap:101 telephone-event/8000"]))
    local, origin = LocalMedia("::1", 10), Origin(1)
    to_b = forwarded_offer(offer, local, origin)
    assert parse(str(to_b)) == to_b
    allowed = {name.lower() for name in DEFAULT_ALLOWED}
    assert {name.lower() for name in names(to_b.media[0])} <= allowed
    to_a = forwarded_answer(offer, own_answer(to_b, local, origin), local, origin)
    assert parse(str(to_a)) == to_a
