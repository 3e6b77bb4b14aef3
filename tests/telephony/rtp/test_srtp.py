"""SRTP and SRTCP (RFC 3711, RFC 7714), compared with a reference that is not libsrtp."""

import struct

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given
from hypothesis import strategies as st

from helpers.srtp import Reference, derive, stream
from telephony.errors import SrtpError
from telephony.rtp.packet import RtpPacket
from telephony.rtp.rtcp import parse_compound
from telephony.rtp.srtp import Protection
from telephony.sdp import KeyPair, MasterKey, Suite, fresh_keys

MASTER = bytes.fromhex("E1F97A0D3E018BE0D64FA32C06DE4139")
SALT = bytes.fromhex("0EC675AD498AFEEBB6960B3AABE6")
SUITES = pytest.mark.parametrize("suite", list(Suite))
CM80 = Suite.AES_CM_128_HMAC_SHA1_80


def packet(sequence, ssrc=7, payload=b"\xd5" * 160):
    return bytes(RtpPacket(0, sequence & 0xFFFF, sequence * 160 & 0xFFFFFFFF, ssrc, payload))


def report(ssrc=7, about=9):
    block = struct.pack("!IIIIII", about, 0, 5, 0, 0, 0)
    return struct.pack("!BBHI", 0x81, 200, 12, ssrc) + bytes(20) + block


def ends(suite=CM80):
    """Return the two ends of one stream, and the keys of the first end."""
    one, other = fresh_keys()[suite], fresh_keys()[suite]
    return Protection(KeyPair(one, other)), Protection(KeyPair(other, one)), KeyPair(one, other)


# The reference against the test vectors of the RFCs


def test_the_reference_produces_the_keystream_of_rfc_3711_b_2():
    key = bytes.fromhex("2B7E151628AED2A6ABF7158809CF4F3C")
    salt = bytes.fromhex("F0F1F2F3F4F5F6F7F8F9FAFBFCFD")
    made = stream(key, salt, 0, 0, 32).hex().upper()
    assert made == "E03EAD0935C95E80E166B16DD92B4EB4D23513162B02D0F72A43A2FE4A5F97AB"


@pytest.mark.parametrize(
    ("label", "made"),
    [
        (0, "C61E7A93744F39EE10734AFE3FF7A087"),
        (1, "CEBE321F6FF7716B6FD4AB49AF256A156D38BAA4"),
        (2, "30CBBC08863D8C85D49DB34A9AE1"),
    ],
)
def test_the_reference_derives_the_keys_of_rfc_3711_b_3(label, made):
    assert derive(MASTER, SALT, label, len(made) // 2).hex().upper() == made


def test_the_reference_nonce_produces_the_packet_of_rfc_7714_16_1_1():
    head = bytes.fromhex("8040f17b8041f8d35501a0b2")
    salt = bytes.fromhex("51756964207072 6f2071756f")
    iv = (0x5501A0B2 << 48 | 0xF17B).to_bytes(12)
    nonce = bytes(a ^ b for a, b in zip(iv, salt, strict=True))
    sealed = AESGCM(bytes(range(16))).encrypt(
        nonce, b"Gallia est omnis divisa in partes tres", head
    )
    assert sealed.hex() == (
        "f24de3a3fb34de6cacba861c9d7e4bcabe633bd50d294e6f42a5f47a51c7d19b36de3adf8833"
        "899d7f27beb16a9152cf765ee4390cce"
    )


# Our SRTP against the reference


@SUITES
def test_rtp_equals_the_reference_before_and_after_the_sequence_number_wraps(suite):
    one, other, keys = ends(suite)
    known = Reference(keys.ours)
    for index in range(65_520, 65_560):
        plain = packet(index)
        sealed = one.protect(plain)
        assert sealed == known.rtp(plain, roc=index >> 16)
        assert other.unprotect(sealed) == plain


@SUITES
def test_rtcp_equals_the_reference(suite):
    one, other, keys = ends(suite)
    for index in range(1, 4):
        sealed = one.protect_control(report())
        assert sealed == Reference(keys.ours).rtcp(report(), index)
        assert other.unprotect_control(sealed) == report()


def test_a_test_vector_of_libsrtp_is_protected_and_unprotected():
    key = MasterKey(CM80, MASTER + SALT)
    plain = bytes.fromhex("800f1234decafbadcafebabe") + b"\xab" * 16
    sealed = bytes.fromhex(
        "800f1234decafbadcafebabe4e55dc4ce79978d88ca4d215949d2402b78d6acc99ea179b8dbb"
    )
    assert Protection(KeyPair(key, key)).protect(plain) == sealed
    assert Protection(KeyPair(key, key)).unprotect(sealed) == plain


# Refused packets


@SUITES
@given(data=st.data())
def test_a_packet_with_any_bit_changed_is_refused(suite, data):
    one, other, _ = ends(suite)
    for seal, unseal in (
        (one.protect, other.unprotect),
        (one.protect_control, other.unprotect_control),
    ):
        plain = packet(1) if seal == one.protect else report()
        sealed = bytearray(seal(plain))
        bit = data.draw(st.integers(0, 8 * len(sealed) - 1))
        sealed[bit // 8] ^= 1 << bit % 8
        with pytest.raises(SrtpError):
            unseal(bytes(sealed))


@given(st.binary(max_size=1600))
def test_unprotecting_arbitrary_bytes_raises_srtp_error(data):
    one, _, _ = ends()
    for function in (one.unprotect, one.unprotect_control):
        with pytest.raises(SrtpError):
            function(data)


def test_protecting_an_oversized_or_malformed_packet_raises_srtp_error():
    one, _, _ = ends()
    for function, data in (
        (one.protect, packet(1, payload=bytes(2000))),
        (one.protect, b"short"),
        (one.protect_control, bytes(2000)),
        (one.protect_control, b""),
    ):
        with pytest.raises(SrtpError):
            function(data)


def test_a_replayed_rtp_or_rtcp_packet_is_refused():
    one, other, _ = ends()
    sealed, control = one.protect(packet(1)), one.protect_control(report())
    other.unprotect(sealed)
    other.unprotect_control(control)
    with pytest.raises(SrtpError):
        other.unprotect(sealed)
    with pytest.raises(SrtpError):
        other.unprotect_control(control)


def test_a_packet_of_a_257th_ssrc_in_a_call_is_refused():
    one, other, _ = ends()
    sealed = [one.protect(packet(1, ssrc)) for ssrc in range(256)]
    assert [other.unprotect(each) for each in sealed][-1] == packet(1, 255)
    with pytest.raises(SrtpError):
        one.protect(packet(1, 1000))
    assert other.unprotect(one.protect(packet(2, 3))) == packet(2, 3)


# Reordering, rollover counters, new keys and restarted sources


def test_reordered_packets_around_the_sequence_wrap_are_all_accepted():
    one, other, _ = ends()
    sealed = {n: one.protect(packet(n)) for n in (65_534, 65_535, 65_536, 65_537)}
    for number in (65_534, 65_536, 65_535, 65_537):
        assert other.unprotect(sealed[number]) == packet(number)


def test_each_ssrc_has_its_own_rollover_counter():
    one, other, _ = ends()
    for index in range(65_500, 65_600):
        other.unprotect(one.protect(packet(index)))
    assert other.unprotect(one.protect(packet(3, ssrc=8))) == packet(3, ssrc=8)
    assert other.unprotect(one.protect(packet(65_600))) == packet(65_600)


def test_a_rekey_with_the_same_keys_keeps_rollover_counters_and_replay_windows():
    one, other, keys = ends()
    for index in range(65_500, 65_600):
        last = one.protect(packet(index))
        other.unprotect(last)
    one.rekey(keys)
    other.rekey(KeyPair(keys.theirs, keys.ours))
    with pytest.raises(SrtpError):
        other.unprotect(last)
    assert other.unprotect(one.protect(packet(65_600))) == packet(65_600)


def test_the_old_key_is_accepted_until_the_first_packet_with_the_new_key():
    one, other, keys = ends()
    fresh = fresh_keys()[CM80]
    late = [one.protect(packet(n)) for n in range(4)]
    other.unprotect(late[0])
    other.rekey(KeyPair(keys.theirs, fresh))
    assert other.unprotect(late[1]) == packet(1)
    one.rekey(KeyPair(fresh, keys.theirs))
    assert other.unprotect(one.protect(packet(4))) == packet(4)
    with pytest.raises(SrtpError):
        other.unprotect(late[2])


def test_a_rekey_can_change_the_crypto_suite():
    one, other, _ = ends()
    ours, theirs = (fresh_keys()[Suite.AEAD_AES_256_GCM] for _ in range(2))
    one.rekey(KeyPair(ours, theirs))
    other.rekey(KeyPair(theirs, ours))
    assert other.unprotect(one.protect(packet(1))) == packet(1)
    assert one.unprotect(other.protect(packet(1))) == packet(1)
    assert other.unprotect_control(one.protect_control(report())) == report()


def test_a_key_that_is_used_again_still_refuses_replays_of_its_earlier_packets():
    one, other, keys = ends()
    sealed = one.protect(packet(1))
    other.unprotect(sealed)
    for theirs in (fresh_keys()[CM80], keys.ours):
        other.rekey(KeyPair(keys.theirs, theirs))
    with pytest.raises(SrtpError):
        other.unprotect(sealed)
    assert other.unprotect(one.protect(packet(2))) == packet(2)


def test_a_source_that_restarts_its_sequence_continues_under_a_new_ssrc():
    one, other, _ = ends()
    for number in range(20_000, 20_010):
        other.unprotect(one.protect(packet(number)))
    lost = 0
    heard = []
    for number in range(5, 30):
        try:
            heard.append(RtpPacket.parse(other.unprotect(one.protect(packet(number)))))
        except SrtpError:
            lost += 1
    assert lost == 4
    assert [each.sequence for each in heard] == list(range(9, 30))
    (name,) = {each.ssrc for each in heard}
    assert name != 7
    (sent,) = parse_compound(other.unprotect_control(one.protect_control(report())))
    assert sent.ssrc == name
    back = other.protect_control(report(ssrc=9, about=name))
    (heard_of,) = next(iter(parse_compound(one.unprotect_control(back)))).reports()
    assert heard_of.ssrc == 7


def test_a_single_late_packet_is_refused_and_its_source_keeps_its_ssrc():
    one, other, _ = ends()
    for number in (20_000, 20_001):
        other.unprotect(one.protect(packet(number)))
        with pytest.raises(SrtpError):
            one.protect(packet(5))
    assert RtpPacket.parse(other.unprotect(one.protect(packet(20_002)))).ssrc == 7


@pytest.mark.parametrize("suite", list(Suite))
def test_the_peers_mki_is_removed_from_rtp_and_rtcp(suite):
    one, _, keys = ends(suite)
    named = MasterKey(suite, keys.ours.material, b"\x00\x2a")
    other = Protection(KeyPair(keys.theirs, named))
    tag = {CM80: 10, Suite.AES_CM_128_HMAC_SHA1_32: 4}.get(suite, 0)
    sealed, control = one.protect(packet(1)), one.protect_control(report())
    with pytest.raises(SrtpError):
        other.unprotect(sealed)
    cut, ends_at = len(sealed) - tag, len(control) - (10 if tag else 0)
    assert other.unprotect(sealed[:cut] + b"\x00\x2a" + sealed[cut:]) == packet(1)
    told = control[:ends_at] + b"\x00\x2a" + control[ends_at:]
    assert other.unprotect_control(told) == report()


@SUITES
@pytest.mark.parametrize("wraps", [1, 2, 7, 32])
def test_the_first_packets_of_a_peer_with_a_rollover_counter_up_to_32_are_accepted(suite, wraps):
    _, other, keys = ends(suite)
    known = Reference(keys.ours)
    for index in (65_530, 65_531, 65_529, 65_536, 65_537):
        roc, plain = wraps + (index >> 16), packet(index)
        assert other.unprotect(known.rtp(plain, roc)) == plain
    with pytest.raises(SrtpError):
        other.unprotect(known.rtp(packet(65_537), wraps + 1))
    assert other.unprotect(known.rtp(packet(1, ssrc=8), 0)) == packet(1, ssrc=8)


@pytest.mark.parametrize("sequence", [0, 1, 0x6FFF, 0x7FFF, 0x8000, 0xFFFF])
def test_the_first_packet_of_a_wrapped_stream_is_accepted_at_any_sequence_number(sequence):
    _, other, keys = ends()
    known = Reference(keys.ours)
    assert other.unprotect(known.rtp(packet(sequence), 3)) == packet(sequence)
    assert other.unprotect(known.rtp(packet(sequence + 1), 3 + (sequence + 1 >> 16))) == packet(
        sequence + 1
    )


def test_a_peer_with_a_new_key_may_continue_the_old_keys_rollover_counter():
    one, other, keys = ends()
    for index in range(65_500, 65_600):
        other.unprotect(one.protect(packet(index)))
    fresh = fresh_keys()[CM80]
    other.rekey(KeyPair(keys.theirs, fresh))
    assert other.unprotect(one.protect(packet(65_600))) == packet(65_600)
    assert other.unprotect(Reference(fresh).rtp(packet(65_601), roc=1)) == packet(65_601)


def test_after_many_forged_packets_other_rollover_counters_are_no_longer_tried():
    _, other, keys = ends()
    for number in range(60):
        with pytest.raises(SrtpError):
            other.unprotect(packet(number, ssrc=number, payload=bytes(40)))
    with pytest.raises(SrtpError):
        other.unprotect(Reference(keys.ours).rtp(packet(1), roc=1))
    assert other.unprotect(Reference(keys.ours).rtp(packet(1), roc=0)) == packet(1)


def test_an_end_that_renames_ssrcs_reads_reports_about_them_with_the_original_ssrc():
    keys = KeyPair(*(fresh_keys()[CM80] for _ in range(2)))
    one = Protection(keys, rename=True)
    other = Protection(KeyPair(keys.theirs, keys.ours))
    heard = [RtpPacket.parse(other.unprotect(one.protect(packet(n)))) for n in range(3)]
    (name,) = {each.ssrc for each in heard}
    assert name != 7
    assert [each.sequence for each in heard] == [0, 1, 2]
    back = one.unprotect_control(other.protect_control(report(ssrc=9, about=name)))
    assert next(parse_compound(back)[0].reports()).ssrc == 7


def test_an_rtcp_report_before_the_first_rtp_does_not_prevent_the_counter_search():
    _, other, keys = ends()
    known = Reference(keys.ours)
    assert other.unprotect_control(known.rtcp(report(), 5)) == report()
    assert other.unprotect(known.rtp(packet(9), 2)) == packet(9)


def test_each_restart_of_a_source_gets_a_different_ssrc():
    one, other, _ = ends()
    names = []
    for start in (30_000, 20_000, 10_000):
        for number in range(start, start + 10):
            try:
                names.append(RtpPacket.parse(other.unprotect(one.protect(packet(number)))).ssrc)
            except SrtpError:
                continue
    assert len(set(names)) == 3
    back = one.unprotect_control(other.protect_control(report(ssrc=9, about=names[-1])))
    assert next(parse_compound(back)[0].reports()).ssrc == 7
