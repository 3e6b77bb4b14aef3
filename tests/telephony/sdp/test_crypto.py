"""The a=crypto attribute (RFC 4568 section 9, RFC 7714 section 14.2)."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from telephony.errors import SdpParseError
from telephony.sdp import Crypto, KeyPair, LocalMedia, SdpLine, Srtp, Suite, fresh_keys
from telephony.sdp.crypto import key_pair, parse_crypto_lines

KEY = "d0RmdmcmVCspeEc3QGZiNWpVLFJhQX1cfHAwJSoj"  # RFC 4568 section 9.1
KEYS = {
    "AES_CM_128_HMAC_SHA1_80": 30,
    "AES_CM_128_HMAC_SHA1_32": 30,
    "AEAD_AES_128_GCM": 28,
    "AEAD_AES_256_GCM": 44,
}


def encoded(length):
    return base64.b64encode(bytes(range(length))).decode()


@pytest.mark.parametrize(("suite", "length"), KEYS.items())
def test_a_crypto_attribute_of_every_suite_round_trips(suite, length):
    text = f"7 {suite} inline:{encoded(length)}"
    crypto = Crypto.parse(text)
    assert (crypto.tag, crypto.key.suite, crypto.key.material) == (7, suite, bytes(range(length)))
    assert str(crypto) == text


@pytest.mark.parametrize(("suite", "length"), KEYS.items())
@given(data=st.data())
def test_names_in_a_crypto_attribute_are_read_regardless_of_case(suite, length, data):
    flags = data.draw(st.lists(st.booleans(), min_size=len(suite), max_size=len(suite)))
    name = "".join(c.lower() if low else c for c, low in zip(suite, flags, strict=True))
    crypto = Crypto.parse(f"7 {name} Inline:{encoded(length)} wsh=64")
    assert str(crypto) == f"7 {suite} inline:{encoded(length)}"


@pytest.mark.parametrize(
    "more", ["", "|2^20", "|2^48", "|1048576", "|1:4", "|2^20|1:4", "|2^20|1:4 WSH=64", " -x=1"]
)
def test_lifetime_mki_and_ignorable_session_parameters_are_accepted(more):
    assert Crypto.parse(f"1 AES_CM_128_HMAC_SHA1_80 inline:{KEY}{more}").key.material


def test_an_mki_has_its_declared_number_of_octets():
    parsed = Crypto.parse(f"1 AES_CM_128_HMAC_SHA1_80 inline:{KEY}|2^20|1066:4")
    assert parsed.key.mki == (1066).to_bytes(4)


def test_the_base64_padding_of_a_key_is_optional():
    bare = encoded(28).rstrip("=")
    assert Crypto.parse(f"1 AEAD_AES_128_GCM inline:{bare}").key.material == bytes(range(28))


@pytest.mark.parametrize(
    "value",
    [
        "",
        "1",
        f"x AES_CM_128_HMAC_SHA1_80 inline:{KEY}",
        f"1 F8_128_HMAC_SHA1_80 inline:{KEY}",
        f"1 AES_CM_128_HMAC_SHA1_80 uri:{KEY}",
        "1 AES_CM_128_HMAC_SHA1_80 inline:",
        "1 AES_CM_128_HMAC_SHA1_80 inline:AAAA",
        f"1 AES_CM_128_HMAC_SHA1_80 inline:{KEY[:-1]}!",
        f"1 AEAD_AES_256_GCM inline:{KEY}",
        f"1 AES_CM_128_HMAC_SHA1_80 inline:{KEY}|2^20|1:4;inline:{KEY}|2^20|2:4",
        f"1 AES_CM_128_HMAC_SHA1_80 inline:{KEY} UNENCRYPTED_SRTP",
        f"1 AES_CM_128_HMAC_SHA1_80 inline:{KEY} UNENCRYPTED_SRTCP",
        f"1 AES_CM_128_HMAC_SHA1_80 inline:{KEY} UNAUTHENTICATED_SRTP",
        f"1 AES_CM_128_HMAC_SHA1_80 inline:{KEY} KDR=3",
        f"1 AES_CM_128_HMAC_SHA1_80 inline:{KEY} FEC_ORDER=FEC_SRTP",
        f"1 AES_CM_128_HMAC_SHA1_80 inline:{KEY} WSH=64 SOMETHING=1",
        f"1 AES_CM_128_HMAC_SHA1_80 inline:{KEY}|2^49",
        f"1 AES_CM_128_HMAC_SHA1_80 inline:{KEY}|0",
        f"1 AES_CM_128_HMAC_SHA1_80 inline:{KEY}|256:1",
        f"1 AES_CM_128_HMAC_SHA1_80 inline:{KEY}|1:0",
        f"1 AES_CM_128_HMAC_SHA1_80 inline:{KEY}|1:129",
        f"1 AES_CM_128_HMAC_SHA1_80 inline:{KEY}|2^20|2^20",
    ],
)
def test_an_unusable_crypto_line_is_refused_with_488_and_skipped_in_a_list(value):
    with pytest.raises(SdpParseError) as caught:
        Crypto.parse(value)
    assert caught.value.status == 488
    assert KEY not in str(caught.value)
    good = f"2 AES_CM_128_HMAC_SHA1_80 inline:{KEY}"
    assert [line.tag for line in parse_crypto_lines([value, good])] == [2]


@given(st.text(alphabet=st.characters(codec="utf-8"), max_size=200))
def test_parse_crypto_lines_never_raises_for_arbitrary_text(text):
    _ = parse_crypto_lines([text, f"1 AES_CM_128_HMAC_SHA1_80 inline:{text}", f"1 {text}"])


@given(st.sampled_from(Suite), st.integers(0, 999_999_999), st.data())
def test_a_generated_crypto_attribute_round_trips(suite, tag, data):
    material = data.draw(st.binary(min_size=suite.key_bytes, max_size=suite.key_bytes))
    text = f"{tag} {suite} inline:{base64.b64encode(material).decode()}"
    assert str(Crypto.parse(text)) == text


def test_no_repr_shows_a_key():
    keys = fresh_keys()
    parsed = Crypto.parse(f"1 AES_CM_128_HMAC_SHA1_80 inline:{KEY}|2^20|1:4")
    shown = repr(
        [
            parsed,
            keys,
            LocalMedia("192.0.2.1", 4000, Srtp.REQUIRED, keys),
            KeyPair(parsed.key, parsed.key),
            SdpLine("a", f"crypto:{parsed}"),
            SdpLine("k", "base64:c2VjcmV0"),
        ]
    )
    assert not any(word in shown for word in (KEY, "inline", "c2VjcmV0", "\\x"))
    assert all(repr(key.material) not in shown for key in keys.values())


def test_each_leg_gets_its_own_fresh_keys():
    one, other = fresh_keys(), fresh_keys()
    assert set(one) == set(Suite)
    assert len({key.material for key in (*one.values(), *other.values())}) == 2 * len(Suite)


def test_the_answers_tag_and_suite_select_one_of_the_offered_keys():
    keys = fresh_keys()
    offer = [Crypto(tag, key) for tag, key in enumerate(keys.values(), 1)]
    mine = fresh_keys()[offer[2].key.suite]
    assert key_pair(offer, [Crypto(3, mine)]) == KeyPair(offer[2].key, mine)
    assert key_pair([Crypto(3, mine)], offer) == KeyPair(mine, offer[2].key)


def test_an_answer_with_an_unknown_tag_or_the_wrong_suite_selects_no_key():
    offer = [Crypto(tag, key) for tag, key in enumerate(fresh_keys().values(), 1)]
    assert key_pair(offer, [Crypto(2, offer[0].key)]) is None
    assert key_pair(offer, [Crypto(9, offer[0].key)]) is None
