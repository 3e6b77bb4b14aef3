"""The admission of calls and registrations: trunks by address, phones by password."""

import re

import pytest

from galwad.messages import CallerFacts, PhoneCredentials
from galwad.switch.call.context import call_settings
from galwad.switch.edge.admission import Admission, AdmissionControl, Rejection
from galwad.switch.edge.guessing import GuessLimits
from helpers.sip_messages import request_of, response_of
from recording.spool import Clock
from telephony.sip.endpoint import Endpoint
from telephony.sip.events import Address, IncomingInvite, StandaloneRequest
from telephony.sip.message.messages import Response, parse_message
from telephony.sip.ua import auth
from telephony.sip.ua.auth import AuthOutcome, DigestClient, ha1

LOCAL = Address("192.0.2.9", 5060)
TRUNK = Address("192.0.2.1", 5060)
STRANGER = Address("203.0.113.66", 5060)


@pytest.fixture
def alarms():
    return []


@pytest.fixture
def control(phones, alarms):
    """Makes an AdmissionControl with these settings."""

    def make(settings, *more):
        guesses = GuessLimits(phones.known, lambda *alarm: alarms.append(alarm))
        return AdmissionControl(settings, phones, b"s" * 32, guesses, *more)

    return make


@pytest.fixture
def admission_control(control, settings):
    return control(settings)


@pytest.fixture
def endpoint():
    endpoint = Endpoint()
    endpoint.listen(LOCAL)
    return endpoint


def request(method="INVITE", *, user="01632960001", headers=(), uri="sip:01970000000@192.0.2.9"):
    lines = [
        f"{method} {uri} SIP/2.0",
        f"Via: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK{abs(hash((method, headers)))};rport",
        f"From: <sip:{user}@192.0.2.1>;tag=1",
        f"To: <sip:{user if method == 'REGISTER' else 'x'}@192.0.2.9>",
        f"Call-ID: {abs(hash(headers))}@t",
        f"CSeq: 1 {method}",
        "Max-Forwards: 70",
        "Contact: <sip:c@192.0.2.1>",
        *(f"{name}: {value}" for name, value in headers),
    ]
    return ("\r\n".join(lines) + "\r\nContent-Length: 0\r\n\r\n").encode()


def arrive(endpoint, data, source):
    endpoint.receive(data, source, LOCAL, 1.0)
    event = endpoint.next_event()
    assert isinstance(event, IncomingInvite | StandaloneRequest)
    return event


def decide(admission_control, endpoint, source=TRUNK, **kwargs):
    return admission_control.invite(arrive(endpoint, request(**kwargs), source).invite, 1.0)


def test_a_call_from_a_trunks_address_is_admitted_without_a_password(admission_control, endpoint):
    admission = decide(admission_control, endpoint)
    assert isinstance(admission, Admission)
    assert (admission.called, admission.recorded, admission.trusted) == ("01970000000", True, True)
    assert admission.facts("Tax")["number"] == "+441632960001"


def test_a_caller_from_a_trunk_may_send_the_ring_tones_that_the_settings_allow_the_trunk(
    settings, phones, endpoint
):
    trunk = settings.trunks[0].model_copy(update={"ring_tones": ("Bellcore-dr2",)})
    settings = settings.model_copy(update={"trunks": (trunk, *settings.trunks[1:])})
    guesses = GuessLimits(phones.known, lambda *_: None)
    admission = decide(AdmissionControl(settings, phones, b"s" * 32, guesses), endpoint)
    assert admission.trunk == "pstn"
    assert call_settings(settings, admission).caller_grants.ring_tones == ("Bellcore-dr2",)


def test_a_calling_phone_has_the_extension_and_user_of_its_account(settings):
    facts = CallerFacts("201", "anything.example")
    admission = Admission(facts, "202", True, True, False, "latch", "off", user="sian")
    legs = call_settings(settings, admission)
    assert (legs.caller_extension, legs.caller_user) == ("201", "sian")


def test_the_source_rule_of_a_trunk_applies_to_its_calls(admission_control, endpoint):
    admission = decide(admission_control, endpoint, source=Address("192.0.2.2", 5060))
    assert (admission.source_rule, admission.trusted) == ("latch", False)


@pytest.mark.parametrize(
    ("headers", "user"),
    [
        ((("P-Asserted-Identity", "<sip:+441632960002@t>"), ("Privacy", "id")), "anonymous"),
        ((("P-Asserted-Identity", "<sip:+441632960002@t>"), ("Privacy", "user;id")), "01632960001"),
        ((("Privacy", "header"),), "01632960001"),
    ],
)
def test_the_facts_of_a_call_contain_no_withheld_number(admission_control, endpoint, headers, user):
    facts = decide(admission_control, endpoint, headers=headers, user=user).facts("Tax")
    assert (facts["number"], facts["withheld"]) == (None, True)


def test_an_unreadable_asserted_identity_is_ignored(admission_control, endpoint):
    admission = decide(admission_control, endpoint, headers=(("P-Asserted-Identity", "<<<"),))
    assert admission.caller.asserted == ()


def test_a_call_of_a_stranger_is_challenged_with_401(admission_control, endpoint):
    refusal = decide(admission_control, endpoint, source=STRANGER)
    assert isinstance(refusal, Rejection)
    assert refusal.status == 401
    assert {name for name, _ in refusal.headers} == {"WWW-Authenticate"}


def answered(endpoint):
    (datagram,) = endpoint.outgoing()
    response = parse_message(datagram.data)
    assert isinstance(response, Response)
    return response


def test_a_phone_registers_with_its_password_but_not_for_another_extension(
    admission_control, endpoint, phones
):
    secret = ha1("203", "galwad", "password", "SHA-256")
    phones.set_accounts([PhoneCredentials("203", "gwen", ha1_sha256=secret)])
    wanted = request("REGISTER", user="203", uri="sip:galwad")
    admission_control.register(arrive(endpoint, wanted, STRANGER).transaction, Clock(0.0, 1.0))
    challenge = answered(endpoint)
    assert challenge.status == 401
    client = DigestClient("203", "password")
    for user, status in (("203", 200), ("202", 403)):
        fresh = request("REGISTER", user=user, uri="sip:galwad", headers=(("X-Try", user),))
        credentials = client.answer(request_of(fresh), challenge, cnonce=user)
        signed = request(
            "REGISTER", user=user, uri="sip:galwad", headers=(("X-Try", user), credentials)
        )
        admission_control.register(
            arrive(endpoint, signed, STRANGER).transaction, Clock(0.0, 1.0 + int(user))
        )
        assert answered(endpoint).status == status
    assert [binding.address for binding in phones.bindings("203", 205.0)] == [STRANGER]


@pytest.mark.parametrize(
    "user", ["%2B441632960001", "+441632960001;phone-context=x", "+44-1632-960001"]
)
def test_each_spelling_of_a_callers_number_gives_the_same_number(admission_control, endpoint, user):
    facts = decide(admission_control, endpoint, user=user).facts("Tax")
    assert facts["number"] == "+441632960001"


@pytest.mark.parametrize("uri", ["sip:%2B44197@h", "tel:+44-197", "sip:+44197;npdi@h;user=phone"])
def test_each_spelling_of_the_called_number_gives_the_same_number(admission_control, endpoint, uri):
    assert decide(admission_control, endpoint, uri=uri).called == "+44197"


def test_a_remote_party_id_with_privacy_withholds_the_number(admission_control, endpoint):
    rpid = ("Remote-Party-ID", "<sip:01632960001@t>;party=calling;privacy=full")
    facts = decide(admission_control, endpoint, headers=(rpid,)).facts("Tax")
    assert (facts["number"], facts["withheld"]) == (None, True)


@pytest.mark.parametrize(
    ("uri", "called"),
    [
        ("urn:service:sos.fire", "999"),
        ("tel:112;phone-context=+44", "112"),
        ("sip:999@192.0.2.9", "999"),
    ],
)
def test_a_phone_with_its_password_calls_an_emergency_number_in_each_form(
    admission_control, endpoint, phones, uri, called
):
    secret = ha1("203", "galwad", "password", "SHA-256")
    phones.set_accounts([PhoneCredentials("203", "gwen", ha1_sha256=secret)])
    wanted = request(user="203", uri=uri)
    asked = arrive(endpoint, wanted, STRANGER).invite
    refusal = admission_control.invite(asked, 1.0)
    asked.refuse_statelessly(refusal.status, headers=refusal.headers, now=1.0)
    given = DigestClient("203", "password").answer(
        request_of(wanted), answered(endpoint), cnonce="c"
    )
    admission = decide(
        admission_control, endpoint, source=STRANGER, user="203", uri=uri, headers=(given,)
    )
    assert isinstance(admission, Admission)
    assert (admission.called, admission.phone, admission.emergency) == (called, True, True)


@pytest.mark.parametrize(
    ("source", "trusted"), [(TRUNK, True), (Address("192.0.2.2", 5060), False)]
)
def test_of_all_trunks_only_a_trusted_trunk_may_use_the_emergency_reserve(
    admission_control, endpoint, source, trusted
):
    called = decide(admission_control, endpoint, source=source, uri="sip:999@192.0.2.9")
    assert called.emergency is trusted
    other = decide(admission_control, endpoint, source=source, headers=(("X-Other", "1"),))
    assert not other.emergency


@pytest.mark.parametrize(("own", "rule"), [(None, "off"), ("required", "required")])
def test_the_srtp_rule_of_a_trunk_overrides_that_of_the_media_table(
    settings, control, endpoint, own, rule
):
    trunks = tuple(trunk.model_copy(update={"srtp": own}) for trunk in settings.trunks)
    media = settings.media.model_copy(update={"srtp": "off"})
    changed = settings.model_copy(update={"trunks": trunks, "media": media})
    assert decide(control(changed), endpoint).srtp == rule


class Guesser:
    """A stranger who answers the challenge with a name and a password."""

    def __init__(self, settings, phones, endpoint, control):
        secrets = [ha1("204", "galwad", "password", name) for name in ("MD5", "SHA-256")]
        phones.set_accounts([PhoneCredentials("204", "gwen", *secrets)])
        self.verdicts: list[tuple] = []
        self.admission_control = control(settings, lambda *verdict: self.verdicts.append(verdict))
        self.endpoint = endpoint
        self.called = "01970000000"

    def uri(self, method):
        return "sip:galwad" if method == "REGISTER" else f"sip:{self.called}@192.0.2.9"

    def send(self, method, user, headers=(), now=1.0, source=STRANGER):
        uri = self.uri(method)
        data = request(method, user=user, uri=uri, headers=headers)
        event = arrive(self.endpoint, data, source)
        if method == "REGISTER":
            self.admission_control.register(event.transaction, Clock(0.0, now))
        else:
            refusal = self.admission_control.invite(event.invite, now)
            assert isinstance(refusal, Rejection)
            event.invite.refuse_statelessly(refusal.status, headers=refusal.headers, now=now)
        (datagram,) = self.endpoint.outgoing()
        return datagram.data

    def guess(self, method, user, password, **more):
        asked = response_of(self.send(method, user, **more))
        uri = self.uri(method)
        given = DigestClient(user, password).answer(
            request_of(request(method, user=user, uri=uri)), asked, "cnonce"
        )
        return self.send(method, user, (given,), **more)


@pytest.fixture
def guesser(settings, phones, endpoint, control):
    return Guesser(settings, phones, endpoint, control)


def shape(answer, user):
    """Return an answer without its random parts and without the values of the request."""
    text = re.sub(r'nonce="[^"]+"', "nonce", answer.decode())
    text = re.sub(r";tag=[0-9a-f]{16}", ";tag", text)
    return re.sub(r"(branch=z9hG4bK|Call-ID: )[0-9]+", r"\1", text).replace(user, "USER")


@pytest.mark.parametrize("method", ["REGISTER", "INVITE"])
def test_challenges_look_the_same_for_known_and_unknown_extensions(guesser, method):
    """204 has a password, 201 only another digest, 999 does not exist; none is registered."""
    answers = {user: guesser.guess(method, user, "wrong") for user in ("204", "201", "999")}
    assert len({shape(answer, user) for user, answer in answers.items()}) == 1
    assert answers["999"].startswith(b"SIP/2.0 401 ")
    assert {verdict.outcome for _, verdict, _ in guesser.verdicts} == {
        AuthOutcome.MISSING,
        AuthOutcome.REFUSED,
    }


def test_the_password_of_an_emergency_call_is_checked_while_its_network_guesses_passwords(guesser):
    assert guesser.guess("REGISTER", "204", "password").startswith(b"SIP/2.0 200 ")
    for port in range(1, 100):
        guesser.guess("REGISTER", "201", "wrong", source=STRANGER._replace(port=port))
    answers = []
    for port, called in enumerate(("01970000000", "999"), 50_000):
        guesser.called = called
        source = STRANGER._replace(port=port)
        answers.append(guesser.guess("INVITE", "204", "wrong", source=source)[:12])
    assert answers == [b"SIP/2.0 503 ", b"SIP/2.0 401 "]


@pytest.mark.parametrize("method", ["REGISTER", "INVITE"])
def test_an_unknown_extension_costs_the_same_digest_work_as_a_known_extension(
    guesser, method, monkeypatch
):
    made = []
    digest = auth._digest

    def counted(*arguments):
        made.append(len(arguments[1]))
        return digest(*arguments)

    monkeypatch.setattr(auth, "_digest", counted)
    work = {}
    for user in ("204", "201", "999"):
        answer = guesser.send(method, user)
        given = DigestClient(user, "wrong").answer(
            request_of(request(method, user=user)), response_of(answer), "cnonce"
        )
        made.clear()
        guesser.send(method, user, (given,))
        work[user] = list(made)
    assert work["204"] == work["201"] == work["999"]
    assert len(work["999"]) >= 3


def test_digest_credentials_are_not_accepted_twice_or_from_another_address(guesser):
    asked = response_of(guesser.send("REGISTER", "204"))
    bare = request_of(request("REGISTER", user="204", uri="sip:galwad"))
    given = DigestClient("204", "password").answer(bare, asked, "cnonce")
    elsewhere = Address("203.0.113.67", 5060)
    assert b" 401 " in guesser.send("REGISTER", "204", (given,), source=elsewhere)
    assert b" 200 " in guesser.send("REGISTER", "204", (given,))
    again = (given, ("X", "1"))
    assert b"stale=true" in guesser.send("REGISTER", "204", again)
    assert b" 401 " in guesser.send("REGISTER", "204", (*again, ("X", "2")), now=400.0)
    outcomes = [verdict.outcome for _, verdict, _ in guesser.verdicts]
    assert outcomes == [
        AuthOutcome.MISSING,
        AuthOutcome.STALE,
        AuthOutcome.ACCEPTED,
        AuthOutcome.STALE,
        AuthOutcome.STALE,
    ]


@pytest.mark.parametrize("method", ["REGISTER", "INVITE"])
def test_passwords_after_too_many_guesses_get_503_unchecked_and_raise_one_alarm(
    guesser, alarms, method
):
    for number in range(25):
        guesser.guess(method, "204", f"wrong{number}")
    answer = guesser.guess(method, "204", "password")
    assert answer.startswith(b"SIP/2.0 503 ")
    assert b"Retry-After: 5" in answer
    assert guesser.verdicts[-1][1].outcome is AuthOutcome.UNCHECKED
    assert alarms == [("phone.passwords_guessed", None, f"from {STRANGER.host}")]


def test_a_registered_phone_is_accepted_beside_a_guesser_at_its_address(guesser):
    assert b" 200 " in guesser.guess("REGISTER", "204", "password")
    beside = STRANGER._replace(port=7)
    for number in range(50):
        guesser.guess("REGISTER", "204", f"wrong{number}", source=beside)
    assert b" 503 " in guesser.guess("REGISTER", "204", "wrong", source=beside)
    assert b" 200 " in guesser.guess("REGISTER", "204", "password", now=2.0)
