"""Digest authentication (RFC 7616, RFC 2617): server and client."""

import hashlib
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from telephony.errors import ProtocolError, SipParseError
from telephony.sip.message.headers import Headers
from telephony.sip.message.messages import Request, Response
from telephony.sip.message.uri import Uri
from telephony.sip.ua.auth import (
    MAX_NONCES,
    AuthOutcome,
    DigestClient,
    DigestServer,
    DigestVerification,
    _response,
    _UsedNonces,
    ha1,
    parse_digest,
)

REALM = "galwad.example"
LINE = st.text(st.characters(exclude_characters="\r\n\0", exclude_categories=["Cs"]))
ACCEPTED = DigestVerification(AuthOutcome.ACCEPTED, "201", named="201", returned=True)


class Users:
    """A store of secrets that notes each lookup."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, str]] = []

    def __call__(self, user: str, realm: str, algorithm: str) -> str | None:
        self.asked.append((user, realm, algorithm))
        return ha1(user, realm, "s3cret", algorithm) if user == "201" else None


@pytest.fixture
def users():
    return Users()


@pytest.fixture
def server(users):
    return DigestServer(REALM, bytes(range(32)), users)


def register(authorization=None, *, cseq=1):
    headers = Headers(
        [
            ("Via", "SIP/2.0/UDP h;branch=z9hG4bK1"),
            ("From", "<sip:201@galwad.example>;tag=1"),
            ("To", "<sip:201@galwad.example>"),
            ("Call-ID", "c"),
            ("CSeq", f"{cseq} REGISTER"),
        ]
    )
    if authorization is not None:
        headers.add(*authorization)
    return Request("REGISTER", Uri(host="galwad.example"), headers)


def answered(server, *, user="201", password="s3cret", now=1000.0, client=None):
    client = client or DigestClient(user, password)
    challenge = server.challenge(register(), now)
    return register(client.answer(register(), challenge, "cnonce"))


@pytest.mark.parametrize(
    ("algorithm", "expected"),
    [
        ("MD5", "8ca523f5e9506fed4657c9700eebdbec"),
        ("SHA-256", "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"),
    ],
)
def test_the_responses_equal_the_examples_of_rfc_7616(algorithm, expected):
    values = {
        "uri": "/dir/index.html",
        "nonce": "7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v",
        "nc": "00000001",
        "cnonce": "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ",
        "qop": "auth",
    }
    secret = ha1("Mufasa", "http-auth@example.org", "Circle of Life", algorithm)
    assert _response(secret, "GET", values, algorithm) == expected


def test_the_response_without_qop_equals_that_of_a_legacy_rfc_2617_server():
    values = {"uri": "/dir/index.html", "nonce": "dcd98b7102dd2f0e8b11d0f600bfb0c093"}
    secret = ha1("Mufasa", "testrealm@host.com", "Circle Of Life")
    assert _response(secret, "GET", values, "MD5") == "670fd8c2df070c60b045671b8b24ff02"


def test_a_request_without_credentials_is_challenged_with_both_algorithms(server):
    assert server.verify(register(), 1000.0).outcome is AuthOutcome.MISSING
    response = server.challenge(register(), 1000.0)
    challenges = [parse_digest(v) for v in response.headers.get_all("WWW-Authenticate")]
    assert response.status == 401
    assert [c["algorithm"] for c in challenges] == ["SHA-256", "MD5"]
    assert {c["realm"] for c in challenges} == {REALM}
    assert {c["qop"] for c in challenges} == {"auth"}
    assert all("stale" not in c for c in challenges)


@pytest.mark.parametrize("algorithm", ["MD5", "SHA-256"])
def test_the_right_password_is_accepted(users, algorithm):
    server = DigestServer(REALM, bytes(32), users, algorithms=[algorithm])
    assert server.verify(answered(server), 1001.0) == ACCEPTED
    assert users.asked == [("201", REALM, algorithm)]


@pytest.mark.parametrize(
    ("written", "called", "accepted"),
    [
        ("sip:galwad.example", "sip:301@galwad.example", True),
        ("sip:301@galwad.example", "sip:301@galwad.example", True),
        ("sip:302@galwad.example", "sip:301@galwad.example", False),
        ("sip:elsewhere.example", "sip:301@galwad.example", False),
    ],
)
def test_credentials_may_omit_the_user_of_the_uri_but_not_name_another_user_or_host(
    server, written, called, accepted
):
    request = register()
    request.uri = Uri.parse(written)
    signed = register(
        DigestClient("201", "s3cret").answer(request, server.challenge(request, 1.0), "c")
    )
    signed.uri = Uri.parse(called)
    assert (server.verify(signed, 1.0) == ACCEPTED) is accepted
    assert server.verify(signed, 1.0) != ACCEPTED  # each nonce count is used once


def test_a_wrong_password_is_refused(server):
    request = answered(server, password="wrong")
    assert server.verify(request, 1001.0).outcome is AuthOutcome.REFUSED


def test_an_unknown_user_is_refused_like_a_wrong_password(server, users):
    unknown = server.verify(answered(server, user="999"), 1001.0)
    wrong = server.verify(answered(server, password="wrong"), 1001.0)
    assert replace(unknown, named="") == replace(wrong, named="")
    assert [user for user, _, _ in users.asked] == ["999", "201"]


def test_a_password_that_may_not_be_checked_is_unchecked_and_uses_up_no_nonce(server, users):
    request = answered(server)
    verification = server.verify(request, 1001.0, may_check=lambda user: user != "201")
    assert verification == DigestVerification(AuthOutcome.UNCHECKED, named="201")
    assert users.asked == []
    assert server.verify(request, 1001.0) == ACCEPTED


@pytest.mark.parametrize(
    ("host", "now", "returned"),
    [("192.0.2.1", 1001.0, True), ("192.0.2.2", 1001.0, False), ("192.0.2.1", 1400.0, False)],
)
def test_only_a_fresh_nonce_for_the_same_host_proves_that_the_sender_received_the_nonce(
    server, host, now, returned
):
    challenge = server.challenge(register(), 1000.0, host="192.0.2.1")
    for password in ("s3cret", "wrong"):
        signed = register(DigestClient("201", password).answer(register(), challenge, "cnonce"))
        assert server.verify(signed, now, host=host).returned is returned


def test_a_nonce_and_count_are_valid_for_one_request(server):
    request = answered(server)
    assert server.verify(request, 1001.0) == ACCEPTED
    assert server.verify(request, 1002.0).outcome is AuthOutcome.STALE


def test_a_nonce_can_be_used_again_with_a_higher_count(server):
    client = DigestClient("201", "s3cret")
    challenge = server.challenge(register(), 1000.0)
    for now in (1001.0, 1002.0):
        request = register(client.answer(register(), challenge, "x"))
        assert server.verify(request, now) == ACCEPTED


@pytest.mark.parametrize("now", [1301.0, 990.0])
def test_an_expired_nonce_or_one_from_the_future_is_stale(server, now):
    assert server.verify(answered(server), now).outcome is AuthOutcome.STALE


def test_a_foreign_nonce_is_stale_if_the_password_is_right(server, users):
    other = DigestServer(REALM, b"another secret, as long", users)
    assert server.verify(answered(other), 1001.0).outcome is AuthOutcome.STALE
    wrong = answered(other, password="wrong")
    assert server.verify(wrong, 1001.0).outcome is AuthOutcome.REFUSED


def test_the_client_answers_a_stale_challenge_with_the_fresh_nonce(server):
    client = DigestClient("201", "s3cret")
    old = answered(server, client=client)
    challenge = server.challenge(old, 2000.0, server.verify(old, 2000.0).outcome)
    assert "stale=true" in (challenge.headers.get("WWW-Authenticate") or "")
    assert server.verify(register(client.answer(old, challenge, "y")), 2001.0) == ACCEPTED


def test_the_client_gives_up_when_its_password_is_wrong(server):
    client = DigestClient("201", "wrong")
    request = answered(server, client=client)
    assert client.answer(request, server.challenge(request, 1001.0), "z") is None


def test_credentials_for_another_method_or_target_are_refused(server):
    request = answered(server)
    request.method = "INVITE"
    assert server.verify(request, 1001.0).outcome is AuthOutcome.REFUSED
    request = answered(server)
    request.uri = Uri(host="elsewhere.example")
    assert server.verify(request, 1001.0).outcome is AuthOutcome.REFUSED


@pytest.mark.parametrize(
    ("old", "new"),
    [("qop=auth", "qop=auth-int"), ("qop=auth", "x=y"), ("nc=00000001", "nc=1"),
     ("SHA-256", "SHA-256-sess"), (REALM, "other"), ("Digest", "Basic"), ("nonce=", "nonsense="),
     ("cnonce=", "username=")],
)  # fmt: skip
def test_credentials_that_cannot_be_checked_count_as_missing(server, old, new):
    value = (answered(server).headers.get("Authorization") or "").replace(old, new)
    assert server.verify(register(("Authorization", value)), 1001.0).outcome is AuthOutcome.MISSING


@given(LINE, st.integers(0, 400))
def test_damaged_credentials_raise_no_error_and_pass_only_with_user_and_nonce_unchanged(
    junk, place
):
    server = DigestServer(REALM, bytes(32), Users())
    whole = answered(server).headers.get("Authorization") or ""
    for value in (junk, f"Digest {junk}", whole[:place] + junk + whole[place + 1 :]):
        outcome = server.verify(register(("Authorization", value)), 1001.0).outcome
        if outcome is AuthOutcome.ACCEPTED:
            given_, sent = parse_digest(value), parse_digest(whole)
            assert all(given_[name] == sent[name] for name in ("username", "nonce", "nc", "cnonce"))


@given(st.text())
def test_any_text_is_parsed_as_a_digest_or_raises_sip_parse_error(text):
    for candidate in (text, f"Digest {text}"):
        try:
            parse_digest(candidate)
        except SipParseError:
            continue


def test_the_client_answers_a_proxy_and_echoes_opaque():
    value = 'Digest realm="p", nonce="n", opaque="o\\"p", qop="auth-int,auth", algorithm=md5'
    response = Response(407, headers=Headers([("Proxy-Authenticate", value)]))
    name, credentials = DigestClient("a", "b").answer(register(), response, "c") or ("", "")
    assert name == "Proxy-Authorization"
    assert parse_digest(credentials)["opaque"] == 'o"p'
    assert parse_digest(credentials)["algorithm"] == "MD5"


def test_the_client_skips_challenges_that_it_cannot_answer():
    values = ["Basic realm=x", 'Digest realm="p", nonce="n", algorithm=SHA-512-256',
              'Digest realm="p", nonce="n", qop="auth-int"']  # fmt: skip
    response = Response(401, headers=Headers(("WWW-Authenticate", value) for value in values))
    assert DigestClient("a", "b").answer(register(), response, "c") is None
    response.headers.add("WWW-Authenticate", 'Digest realm="p", nonce="n"')
    _, credentials = DigestClient("a", "b").answer(register(), response, "c") or ("", "")
    assert "nc" not in parse_digest(credentials)


@pytest.mark.long
def test_a_user_of_many_nonces_does_not_make_another_users_nonce_stale():
    def find(user, realm, algorithm):
        return ha1(user, realm, "s3cret", algorithm)

    server = DigestServer(REALM, bytes(32), find)
    for _ in range(20_500):
        request = answered(server, user="202")
        assert server.verify(request, 1000.0).outcome is AuthOutcome.ACCEPTED
    assert server.verify(answered(server), 1000.0) == ACCEPTED


def test_the_server_stores_a_limited_number_of_used_nonces_and_accepts_no_replay(server):
    requests = [answered(server) for _ in range(MAX_NONCES + 10)]
    for request in requests:
        assert server.verify(request, 1000.0) == ACCEPTED
    assert len(server._used["201"]._counts) == MAX_NONCES
    for request in requests:
        assert server.verify(request, 1000.0).outcome is AuthOutcome.STALE


def test_a_nonce_older_than_the_forgotten_nonces_is_stale_and_a_new_nonce_is_accepted(server):
    early = answered(server)
    for _ in range(MAX_NONCES + 1):
        server.verify(answered(server), 1000.0)
    assert server.verify(early, 1000.0).outcome is AuthOutcome.STALE
    assert server.verify(answered(server), 1000.0) == ACCEPTED


def test_used_nonces_are_forgotten_after_they_expire(server):
    for now in (1000.0, 1000.0, 1001.0):
        assert server.verify(answered(server, now=now), now) == ACCEPTED
    assert server.verify(answered(server, now=1400.0), 1400.0) == ACCEPTED
    assert len(server._used["201"]._counts) == 1


@given(st.lists(st.tuples(st.integers(0, 15), st.integers(1, 4)), max_size=60))
def test_no_nonce_and_count_is_ever_accepted_twice(uses):
    used = _UsedNonces()
    accepted: list[tuple[int, int]] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("telephony.sip.ua.auth.MAX_NONCES", 3)
        for number, count in uses:
            if used.count(bytes([number]), count, b""):
                assert all(count > earlier for seen, earlier in accepted if seen == number)
                accepted.append((number, count))


def test_a_server_with_a_short_secret_or_an_unknown_algorithm_raises_protocol_error(users):
    with pytest.raises(ProtocolError):
        DigestServer(REALM, b"short", users)
    with pytest.raises(ProtocolError):
        DigestServer(REALM, bytes(32), users, algorithms=["SHA-1"])
    with pytest.raises(ProtocolError):
        ha1("a", "b", "c", "SHA-1")


def test_a_phone_without_qop_can_use_each_nonce_once(server):
    (_, challenge) = server.challenges(1000.0)[-1]
    nonce = parse_digest(challenge)["nonce"]
    uri = "sip:galwad.example;transport=UDP"
    secret = ha1("201", REALM, "s3cret", "MD5")
    a2 = hashlib.md5(f"REGISTER:{uri}".encode()).hexdigest()
    response = hashlib.md5(f"{secret}:{nonce}:{a2}".encode()).hexdigest()
    value = (
        f'Digest username="201",realm="{REALM}",nonce="{nonce}",uri="{uri}",'
        f'response="{response}",algorithm=MD5'
    )
    signed = register(("Authorization", value))
    assert server.verify(signed, 1001.0).outcome is AuthOutcome.ACCEPTED
    assert server.verify(signed, 1002.0).outcome is AuthOutcome.STALE


def by_hand(server, user, name, *, secret="s3cret", more="", algorithm="SHA-256"):
    """Return a REGISTER of `user`, with `name` as the user name in its credentials."""
    challenge = server.challenge(register(), 1000.0).headers.get("WWW-Authenticate")
    values = {"nonce": parse_digest(challenge)["nonce"], "uri": "sip:galwad.example"}
    values |= {"nc": "00000001", "cnonce": "c"} if "qop" in more else {}
    counted = values | ({"qop": "auth"} if "qop" in more else {})
    response = _response(ha1(user, REALM, secret, algorithm), "REGISTER", counted, algorithm)
    quoted = ", ".join(f'{key}="{value}"' for key, value in values.items() if key != "nc")
    count = f", nc={values['nc']}" if "nc" in values else ""
    credentials = f'Digest {name}, realm="{REALM}", {quoted}{count}, response="{response}"'
    return register(("Authorization", f"{credentials}, algorithm={algorithm}{more}"))


def server_of(user):
    def find(name, realm, algorithm):
        return ha1(user, realm, "s3cret", algorithm) if name == user else None

    return DigestServer(REALM, bytes(range(32)), find)


@pytest.mark.parametrize("algorithm", ["MD5", "SHA-256"])
@pytest.mark.parametrize(
    ("user", "name"),
    [
        ("Jäsøn Doe", "username*=UTF-8''J%C3%A4s%C3%B8n%20Doe"),
        ("Jäsøn Doe", "Username*=utf-8'da'J%c3%a4s%C3%B8n%20Doe"),
        ("Jäsøn Doe", 'username="Jäsøn Doe"'),
        ('a"b\\c', 'username="a\\"b\\\\c"'),
        ("a,b=c", 'username="a,b=c"'),
        ("201", "username=201"),
    ],
)
def test_a_user_name_is_recognised_in_every_valid_notation(user, name, algorithm):
    server = server_of(user)
    request = by_hand(server, user, name, more=", qop=auth", algorithm=algorithm)
    assert server.verify(request, 1000.0).user == user
    again = DigestClient(user, "s3cret").answer(register(), server.challenge(register(), 1.0), "c")
    assert server.verify(register(again), 1.0).user == user


@pytest.mark.parametrize(
    "name",
    [
        "username*=UTF-8''%FF",
        "username*=ISO-8859-1''201",
        "username*=201",
        "username*=UTF-8''",
        "username=\"201\", username*=UTF-8''201",
        "username*=UTF-8''201, userhash=true",
    ],
)
def test_credentials_with_an_unusable_extended_user_name_count_as_missing(name):
    server = server_of("201")
    request = by_hand(server, "201", name, more=", qop=auth")
    assert server.verify(request, 1000.0).outcome is AuthOutcome.MISSING


def test_a_hashed_user_name_is_refused_as_unknown():
    server = server_of("201")
    hashed = hashlib.sha256(f"201:{REALM}".encode()).hexdigest()
    request = by_hand(server, "201", f'username="{hashed}", userhash=true', more=", qop=auth")
    assert server.verify(request, 1000.0).outcome is AuthOutcome.REFUSED


@pytest.mark.parametrize("qop", ["auth-int", "", "AUTH-INT", "auth,auth-int"])
def test_credentials_with_another_qop_than_auth_count_as_missing(server, qop):
    request = by_hand(server, "201", 'username="201"', more=f', qop="{qop}"')
    assert server.verify(request, 1000.0).outcome is AuthOutcome.MISSING


def test_the_client_selects_qop_auth_and_skips_a_challenge_with_only_auth_int():
    head = 'Digest realm="r", nonce="n", algorithm=SHA-256'
    both = Response(401, headers=Headers([("WWW-Authenticate", f'{head}, qop="auth-int, auth"')]))
    found = DigestClient("u", "p").answer(register(), both, "c")
    assert found is not None
    _, value = found
    assert parse_digest(value)["qop"] == "auth"
    alone = Response(401, headers=Headers([("WWW-Authenticate", f'{head}, qop="auth-int"')]))
    assert DigestClient("u", "p").answer(register(), alone, "c") is None


def test_the_nonce_count_rises_with_each_use_and_restarts_with_another_nonce():
    client = DigestClient("u", "p")

    def count(nonce):
        asked = Headers([("WWW-Authenticate", f'Digest realm="r", nonce="{nonce}", qop="auth"')])
        found = client.answer(register(), Response(401, headers=asked), "c")
        assert found is not None
        _, value = found
        return parse_digest(value)["nc"]

    assert [count(n) for n in ("a", "a", "b", "b", "a")] == [
        "00000001", "00000002", "00000001", "00000002", "00000001",
    ]  # fmt: skip


def test_a_refused_response_does_not_consume_its_nonce_count(server):
    client = DigestClient("201", "s3cret")
    challenge = server.challenge(register(), 1000.0)
    header = client.answer(register(), challenge, "c")
    assert header is not None
    wrong = header[0], header[1].replace('response="', 'response="0')
    assert server.verify(register(wrong), 1000.0).outcome is AuthOutcome.REFUSED
    assert server.verify(register(header), 1000.0) == ACCEPTED
    assert server.verify(register(header), 1000.0).outcome is AuthOutcome.STALE


def test_a_stored_secret_is_accepted_only_with_its_own_algorithm():
    stored = {"SHA-256": ha1("201", REALM, "s3cret", "SHA-256")}
    server = DigestServer(REALM, bytes(range(32)), lambda _u, _r, algorithm: stored.get(algorithm))
    good = by_hand(server, "201", 'username="201"', more=", qop=auth")
    assert server.verify(good, 1000.0) == ACCEPTED
    weak = by_hand(server, "201", 'username="201"', more=", qop=auth", algorithm="MD5")
    assert server.verify(weak, 1000.0).outcome is AuthOutcome.REFUSED
    only = DigestServer(REALM, bytes(range(32)), lambda *_: None, algorithms=("SHA-256",))
    assert len(only.challenges(1000.0)) == 1
    assert only.verify(weak, 1000.0).outcome is AuthOutcome.MISSING


def test_a_server_with_a_realm_that_cannot_be_written_raises_protocol_error():
    for realm in ("a\r\nb", "\ud800"):
        with pytest.raises(ProtocolError):
            DigestServer(realm, bytes(16), lambda *_: None)


def test_any_blanks_may_separate_the_digest_scheme_from_its_parameters():
    assert parse_digest("digest \t realm=x") == {"realm": "x"}
    with pytest.raises(SipParseError):
        parse_digest("Digest")


def test_a_nonce_is_valid_only_for_the_host_that_received_it(server):
    challenge = server.challenge(register(), 1000.0, host="192.0.2.1")
    signed = register(DigestClient("201", "s3cret").answer(register(), challenge, "cnonce"))
    assert server.verify(signed, 1001.0, host="192.0.2.2").outcome is AuthOutcome.STALE
    assert server.verify(signed, 1001.0, host="192.0.2.1") == ACCEPTED
    assert server.verify(signed, 1001.0, host="192.0.2.1").outcome is AuthOutcome.STALE
