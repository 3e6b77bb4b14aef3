"""Profiles, SRTP and rtcp-mux, which each leg negotiates for itself (RFC 4568, 4585, 5761).

Covers `telephony/sdp/agreement.py` and `telephony/sdp/writing.py`.
"""

from base64 import b64encode
from contextlib import suppress
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from telephony.errors import SdpParseError
from telephony.sdp import (
    Direction,
    LocalMedia,
    Origin,
    SessionDescription,
    Srtp,
    agreed,
    cut_offer,
    forwarded_answer,
    forwarded_offer,
    fresh_keys,
    own_answer,
    own_offer,
    remote_media,
    with_origin,
)

parse = SessionDescription.parse
KEY = "d0RmdmcmVCspeEc3QGZiNWpVLFJhQX1cfHAwJSoj"
OTHER = "NzB4d1BINUAvLEw6UzF3WSJ+PSdFcGdUJShpX1Zj"
CM80 = f"a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:{KEY}"
CM32 = f"a=crypto:2 AES_CM_128_HMAC_SHA1_32 inline:{OTHER}"
GCM256 = f"a=crypto:3 AEAD_AES_256_GCM inline:{b64encode(bytes(44)).decode()}"
GCM128 = f"a=crypto:4 AEAD_AES_128_GCM inline:{b64encode(bytes(28)).decode()}"
FINGERPRINT = "a=fingerprint:sha-256 " + ":".join(["AB"] * 32)


@pytest.fixture
def secured(local):
    """Build our side of a leg where SRTP is off, optional or required."""
    return lambda srtp: replace(local, srtp=srtp, keys=fresh_keys())


def cryptos(session, index=0):
    return [value.split()[:2] for value in session.media[index].attributes("crypto")]


@pytest.mark.parametrize(
    ("srtp", "media", "lines", "taken"),
    [
        (Srtp.OFF, "RTP/AVP", [], True),
        (Srtp.OFF, "RTP/AVPF", [], True),
        (Srtp.OFF, "RTP/SAVP", [CM80], False),
        (Srtp.OFF, "RTP/AVP", [CM80], True),
        (Srtp.OPTIONAL, "RTP/AVP", [], True),
        (Srtp.OPTIONAL, "RTP/SAVP", [CM80], True),
        (Srtp.OPTIONAL, "RTP/SAVPF", [CM80], True),
        (Srtp.OPTIONAL, "RTP/SAVP", [], False),
        (Srtp.OPTIONAL, "RTP/SAVPF", [FINGERPRINT, "a=setup:actpass"], False),
        (Srtp.OPTIONAL, "UDP/TLS/RTP/SAVPF", [FINGERPRINT], False),
        (Srtp.OPTIONAL, "RTP/SAVP", [CM80 + " UNENCRYPTED_SRTP"], False),
        (Srtp.OPTIONAL, "RTP/SAVP", [CM80 + " UNENCRYPTED_SRTP", CM32], True),
        (Srtp.REQUIRED, "RTP/AVP", [], False),
        (Srtp.REQUIRED, "RTP/AVP", [CM80], True),
        (Srtp.REQUIRED, "RTP/SAVP", [CM80], True),
    ],
)
def test_an_offer_is_accepted_or_refused_by_the_srtp_rule_of_its_leg(
    sdp, srtp, media, lines, taken
):
    offer = parse(sdp(*lines, m=f"audio 4000 {media} 0"))
    if taken:
        assert cut_offer(offer, srtp=srtp).media[0].port == 4000
    else:
        with pytest.raises(SdpParseError) as caught:
            cut_offer(offer, srtp=srtp)
        assert caught.value.status == 488


@pytest.mark.parametrize("profile", ["RTP/AVP", "RTP/SAVP", "RTP/SAVPF"])
def test_our_answer_has_the_tag_and_suite_of_the_first_usable_key_with_our_key(
    sdp, secured, origin, profile
):
    ours = secured(Srtp.OPTIONAL)
    weak = f"a=crypto:4 AES_CM_128_HMAC_SHA1_80 inline:{KEY} UNENCRYPTED_SRTP"
    offer = parse(sdp(weak, CM32, CM80, m=f"audio 4000 {profile} 0"))
    answer = own_answer(offer, ours, origin)
    assert answer.media[0].protocol == profile
    assert cryptos(answer) == [["2", "AES_CM_128_HMAC_SHA1_32"]]
    remote = remote_media(offer, answer)
    assert remote.keys is not None
    assert remote.keys.ours == ours.keys[remote.keys.theirs.suite]
    assert OTHER not in str(answer)


@pytest.mark.parametrize(
    ("lines", "chosen"),
    [
        ([CM32, CM80, GCM128], "AEAD_AES_128_GCM"),
        ([CM80, GCM256, GCM128], "AEAD_AES_256_GCM"),
        ([GCM128, GCM256, CM80], "AEAD_AES_128_GCM"),
        ([CM80, GCM128 + " UNENCRYPTED_SRTP"], "AES_CM_128_HMAC_SHA1_80"),
    ],
)
def test_our_answer_takes_the_first_key_with_aes_gcm_if_there_is_one(
    sdp, secured, origin, lines, chosen
):
    offer = parse(sdp(*lines, m="audio 4000 RTP/SAVP 0"))
    answer = own_answer(offer, secured(Srtp.OPTIONAL), origin)
    (line,) = [each for each in lines if chosen in each and "UNENCRYPTED" not in each]
    assert cryptos(answer) == [[line.partition(":")[2].split()[0], chosen]]


def test_srtp_is_negotiated_separately_on_each_leg(sdp, secured, origin):
    caller, advisor = secured(Srtp.OPTIONAL), secured(Srtp.OFF)
    offer = parse(sdp(CM80, m="audio 4000 RTP/SAVPF 0"))
    asked = forwarded_offer(offer, advisor, origin, srtp=caller.srtp)
    assert asked.media[0].protocol == "RTP/AVP"
    assert "crypto" not in str(asked)
    said = forwarded_answer(offer, parse(sdp(m="audio 6000 RTP/AVP 0")), caller, origin)
    assert said.media[0].protocol == "RTP/SAVPF"
    assert cryptos(said) == [["1", "AES_CM_128_HMAC_SHA1_80"]]


def test_a_leg_that_requires_srtp_is_offered_every_suite(sdp, secured, origin):
    asked = forwarded_offer(parse(sdp()), secured(Srtp.REQUIRED), origin)
    assert asked.media[0].protocol == "RTP/SAVP"
    assert len(cryptos(asked)) == 4
    assert {tag for tag, _ in cryptos(asked)} == {"1", "2", "3", "4"}


def test_a_later_offer_contains_only_the_agreed_key(sdp, secured, origin):
    ours = secured(Srtp.REQUIRED)
    first = forwarded_offer(parse(sdp()), ours, origin)
    line = f"a=crypto:3 AES_CM_128_HMAC_SHA1_80 inline:{KEY}"
    answer = parse(sdp(line, m="audio 6000 RTP/SAVP 0"))
    holds = agreed(first, answer)
    assert cryptos(holds) == [["3", "AES_CM_128_HMAC_SHA1_80"]]
    assert remote_media(answer, holds).keys == remote_media(answer, first).keys
    again = forwarded_offer(parse(sdp("a=sendonly")), ours, origin.next(), previous=holds)
    assert cryptos(again) == cryptos(holds)
    assert again.direction(0) is Direction.SENDONLY
    assert with_origin(holds, origin.next()).media == holds.media


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (["RTP/SAVP", CM80], ["RTP/SAVP"]),
        (["RTP/SAVP", CM80], ["RTP/AVP"]),
        (["RTP/SAVP", CM80], ["RTP/SAVP", CM32]),
        (["RTP/AVP"], ["RTP/SAVP", CM80]),
        (["RTP/AVP", CM80], ["RTP/AVP"]),
    ],
)
def test_media_that_only_one_side_protects_is_refused(sdp, asked, said):
    ours, theirs = (parse(sdp(*lines, m=f"audio 4000 {p} 0")) for p, *lines in (asked, said))
    with pytest.raises(SdpParseError) as caught:
        remote_media(theirs, ours)
    assert caught.value.status == 488


def test_the_srtp_rule_of_the_leg_selects_the_protected_or_the_plain_section(sdp, secured, origin):
    extra = ["m=audio 4002 RTP/SAVP 0", CM80]
    offer = parse(sdp(m="audio 4000 RTP/AVP 0", extra=extra))
    for srtp, ports in ((Srtp.OFF, [4000, 0]), (Srtp.OPTIONAL, [0, 4002])):
        assert [media.port for media in cut_offer(offer, srtp=srtp).media] == ports
        answer = own_answer(offer, secured(srtp), origin)
        assert remote_media(offer, answer).rtp_port == max(ports)
        assert (remote_media(offer, answer).keys is None) == (srtp is Srtp.OFF)


def test_rtcp_shares_the_rtp_port_only_if_both_sides_say_rtcp_mux(sdp, local, origin):
    plain, shared = parse(sdp("a=rtcp:5005")), parse(sdp("a=rtcp:5005", "a=rtcp-mux"))
    asked = forwarded_offer(plain, local, origin)
    assert asked.media[0].attribute("rtcp-mux") is not None
    for theirs, port in ((plain, 5005), (shared, 4000)):
        remote = remote_media(theirs, asked)
        assert (remote.rtcp_mux, remote.rtcp_port) == (port == 4000, port)
        answer = own_answer(theirs, local, origin)
        assert (answer.media[0].attribute("rtcp-mux") is not None) == remote.rtcp_mux


def test_feedback_profile_and_attributes_are_not_forwarded_to_the_other_leg(sdp, local, origin):
    lines = ("a=rtcp-fb:* nack", "a=rtcp-rsize", "a=ssrc:7 cname:someone", "a=ptime:20")
    offer = parse(sdp(*lines, m="audio 4000 RTP/AVPF 0"))
    asked = forwarded_offer(offer, local, origin)
    assert asked.media[0].protocol == "RTP/AVP"
    assert [word in str(asked) for word in ("rtcp-fb", "rsize", "ssrc", "ptime")] == [
        False,
        False,
        False,
        True,
    ]
    assert own_answer(offer, local, origin).media[0].protocol == "RTP/AVPF"


def test_keys_in_capability_and_key_mgmt_attributes_are_not_forwarded(sdp, local, origin):
    lines = (
        "a=tcap:1 RTP/SAVP",
        f"a=acap:1 crypto:1 AES_CM_128_HMAC_SHA1_80 inline:{KEY}",
        "a=pcfg:1 t=1 a=1",
        "a=key-mgmt:mikey AAAA",
    )
    text = str(forwarded_offer(parse(sdp(*lines)), local, origin))
    assert not any(word in text for word in ("cap", "pcfg", KEY, "mikey"))


def test_bundle_and_ice_attributes_are_removed_completely(sdp, local, origin):
    offer = parse(
        sdp(
            "a=mid:0",
            "a=ice-ufrag:abcd",
            "a=candidate:1 1 udp 1 192.0.2.5 4000 typ host",
            CM80,
            m="audio 4000 RTP/SAVPF 0",
            session=["a=group:BUNDLE 0 1", "a=ice-lite", "a=msid-semantic: WMS"],
            extra=["m=application 9 UDP/DTLS/SCTP webrtc-datachannel", "a=mid:1", "a=bundle-only"],
        )
    )
    ours = replace(local, srtp=Srtp.OPTIONAL, keys=fresh_keys())
    for written in (
        forwarded_offer(offer, ours, origin, srtp=Srtp.OPTIONAL),
        own_answer(offer, ours, origin),
    ):
        assert not any(w in str(written) for w in ("mid", "ice", "BUNDLE", "candidate", "WMS"))
    assert [media.port for media in own_answer(offer, ours, origin).media] == [30_000, 0]


@pytest.mark.parametrize(
    "extra",
    [
        ["m=image 5000 udptl t38", "a=T38FaxVersion:0"],
        ["m=video 5000 RTP/AVP 99", "a=rtpmap:99 H264/90000"],
        ["m=application 5000 TCP/BFCP *"],
        ["m=text 5000 RTP/AVP 98", "a=rtpmap:98 t140/1000"],
        ["m=message 5000 TCP/MSRP *"],
    ],
)
def test_a_section_other_than_audio_is_refused_at_its_position(sdp, local, origin, extra):
    offer = parse(sdp(m="audio 4000 RTP/AVP 0", extra=[*extra, "m=audio 4002 RTP/AVP 0"]))
    answer = own_answer(offer, local, origin)
    assert [media.port for media in answer.media] == [30_000, 0, 0]
    assert [media.kind for media in answer.media] == [media.kind for media in offer.media]
    assert [media.protocol for media in answer.media] == [media.protocol for media in offer.media]


def test_an_offer_of_fax_instead_of_audio_gets_488(sdp):
    with pytest.raises(SdpParseError) as caught:
        cut_offer(parse(sdp(m="audio 0 RTP/AVP 0", extra=["m=image 5000 udptl t38"])))
    assert caught.value.status == 488


def test_a_codec_keeps_its_payload_type_on_a_leg_and_no_type_is_reused(sdp, local, origin):
    first = forwarded_offer(
        parse(sdp("a=rtpmap:101 telephone-event/8000", m="audio 1 RTP/AVP 0 101")), local, origin
    )
    later = sdp(
        "a=rtpmap:101 opus/48000/2",
        "a=fmtp:101 useinbandfec=1",
        "a=rtpmap:96 telephone-event/8000",
        m="audio 1 RTP/AVP 101 0 96",
    )
    again = forwarded_offer(parse(later), local, origin, previous=first)
    numbers = {codec.name: number for number, codec in again.media[0].codecs().items()}
    assert numbers["telephone-event"] == 101
    assert numbers["PCMU"] == 0
    assert numbers["opus"] not in {0, 96, 101}
    assert f"a=fmtp:{numbers['opus']} useinbandfec=1" in str(again)


@pytest.mark.parametrize(
    ("said", "direction"),
    [
        ((["a=sendonly"], {}), "sendonly"),
        ((["a=inactive"], {}), "inactive"),
        ((["a=recvonly"], {}), "recvonly"),
        (([], {"session": ["a=sendonly"]}), "sendonly"),
        (([], {"session": ["a=inactive"]}), "inactive"),
        ((["a=sendrecv"], {"session": ["a=inactive"]}), "sendrecv"),
        (([], {"c": "0.0.0.0"}), "sendonly"),
        ((["a=recvonly"], {"c": "0.0.0.0"}), "inactive"),
        ((["a=sendonly", "c=IN IP4 0.0.0.0"], {}), "sendonly"),
        ((["c=IN IP6 ::"], {}), "sendonly"),
    ],
)
def test_hold_is_recognised_in_each_usual_form(sdp, local, origin, said, direction):
    offer = parse(sdp(*said[0], **said[1]))
    asked = forwarded_offer(offer, local, origin)
    assert asked.direction(0) == direction
    assert asked.host(0) == local.host
    assert own_answer(offer, local, origin).direction(0) == Direction(direction).reverse


def test_our_own_offer_is_protected_only_on_a_leg_that_requires_srtp(secured, origin):
    assert own_offer(secured(Srtp.OPTIONAL), origin).media[0].protocol == "RTP/AVP"
    offer = own_offer(secured(Srtp.REQUIRED), origin)
    assert offer.media[0].protocol == "RTP/SAVP"
    assert len(cryptos(offer)) == 4


WORDS = st.sampled_from(
    [
        "v=0",
        "o=- 1 1 IN IP4 192.0.2.1",
        "s=-",
        "c=IN IP4 192.0.2.1",
        "c=IN IP6 2001:db8::1",
        "c=IN IP4 host.example",
        "t=0 0",
        "m=audio 9 RTP/AVP 0 8 101",
        "m=audio 9 RTP/SAVP 0 96",
        "m=audio 9/2 RTP/SAVPF 0",
        "m=audio 0 RTP/AVP 0",
        "m=audio 9 RTP/AVP 999 x",
        "m=image 9 udptl t38",
        "a=rtpmap:101 telephone-event/8000",
        "a=rtpmap:96 opus/48000/2",
        "a=rtpmap:96 opus",
        "a=rtpmap:0 PCMA/8000",
        "a=fmtp:101 0-15",
        "a=fmtp:x",
        "a=rtcp:x",
        "a=rtcp:99999",
        "a=rtcp-mux",
        "a=sendonly",
        "a=inactive",
        CM80,
        CM32,
        CM80 + "|2^20|1:4",
        "a=crypto:1",
        "a=crypto",
        "a=:",
        "b=AS:64",
        "k=clear:x",
    ]
)


@given(
    st.lists(st.one_of(WORDS, st.text(max_size=20)), max_size=14),
    st.lists(st.one_of(WORDS, st.text(max_size=20)), max_size=14),
    st.sampled_from(Srtp),
)
def test_descriptions_of_two_arbitrary_peers_raise_only_sdp_parse_error(one, two, srtp):
    head = ["v=0", "o=- 1 1 IN IP4 192.0.2.1", "s=-", "c=IN IP4 192.0.2.1", "t=0 0"]
    local, origin = LocalMedia("192.0.2.9", 10, srtp, fresh_keys()), Origin(1)
    with suppress(SdpParseError):  # the only error that may come out
        offer, answer = (parse("\r\n".join([*head, *rows])) for rows in (one, two))
        to_b = forwarded_offer(offer, local, origin, srtp=srtp)
        assert parse(str(to_b)) == to_b
        remote_media(answer, to_b)
        again = forwarded_offer(answer, local, origin, srtp=srtp, previous=agreed(to_b, answer))
        assert parse(str(again)) == again
        to_a = forwarded_answer(offer, answer, local, origin)
        assert parse(str(to_a)) == to_a
        remote = remote_media(offer, to_a)
        assert remote.keys is not None or srtp is not Srtp.REQUIRED
