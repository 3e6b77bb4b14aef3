"""Our own registration at a registrar: refreshed, retried after a failure, and removed."""

from __future__ import annotations

import itertools
import random

import pytest

from telephony.sip.endpoint import Endpoint
from telephony.sip.events import Address, StandaloneResponse
from telephony.sip.message.messages import parse_message, respond
from telephony.sip.message.uri import Uri
from telephony.sip.registration import RegistrarAccount, Registration, RegistrationState
from telephony.sip.ua.auth import AuthOutcome, DigestClient, DigestServer, ha1

HERE = Address("192.0.2.1", 5060)
THERE = Address("192.0.2.99", 5060)
OTHER = Address("192.0.2.98", 5060)


class Site:
    """A core with one registration; `answer` is the registrar, as a function of the request."""

    def __init__(self):
        self.now = 1000.0
        self.endpoint = Endpoint(rng=random.Random(1))
        self.endpoint.listen(HERE)
        self.registration = Registration(
            self.endpoint,
            RegistrarAccount("pstn", Uri.parse("sip:trunk.example"), "01970000000"),
            random.Random(2),
        )
        self.destinations = [THERE]
        self.asked = []
        self.answer = lambda request: respond(
            request, 200, headers=(("Contact", request.headers.get("Contact")),)
        )

    def run(self, seconds):
        """Let `seconds` pass, and run every timer that is due in them."""
        end = self.now + seconds
        while True:
            self._settle()
            due = [t for t in (self.registration.next_timer(), self.endpoint.next_timer()) if t]
            if not due or min(due) > end:
                break
            self.now = max(self.now, min(due))
            self.endpoint.handle_timer(self.now)
            self.registration.handle_timer(self.now, self.destinations)
        self.now = end

    def _settle(self):
        busy = True
        while busy:
            busy = False
            for message in self.endpoint.outgoing():
                request = parse_message(message.data)
                self.asked.append((self.now, message.destination, request))
                response = self.answer(request)
                if response is not None:
                    where = message.destination, message.local
                    self.endpoint.receive(bytes(response), *where, self.now)
                busy = True
            while (event := self.endpoint.next_event()) is not None:
                if isinstance(event, StandaloneResponse):
                    assert event.transaction.owner is self.registration
                    self.registration.handle(event, self.now)
                busy = True

    @property
    def last(self):
        return self.asked[-1][2]


@pytest.fixture
def site():
    return Site()


def test_registration_starts_at_once_with_the_accounts_address(site):
    site.run(0)
    request = site.last
    assert (str(request.uri), request.method) == ("sip:trunk.example", "REGISTER")
    assert request.to.uri == request.from_.uri == Uri.parse("sip:01970000000@trunk.example")
    assert request.headers.get("Contact") == "<sip:01970000000@192.0.2.1:5060>"
    assert request.headers.get("Expires") == "3600"
    assert site.registration.state is RegistrationState.REGISTERED


def test_a_refresh_is_sent_before_expiry_with_the_same_call_id_and_the_next_cseq(site):
    site.run(3301)
    (first, _, one), (second, _, two) = site.asked
    assert second - first == 3300
    assert (one.call_id, one.from_.tag) == (two.call_id, two.from_.tag)
    assert (one.cseq.number, two.cseq.number) == (1, 2)


def test_the_expiry_in_the_registrars_contact_sets_the_refresh_interval(site):
    site.answer = lambda request: respond(
        request, 200, headers=(("Contact", f"{request.headers.get('Contact')};expires=60"),)
    )
    site.run(91)
    assert [when - 1000.0 for when, _, _ in site.asked] == [0, 30, 60, 90]


def test_an_expires_header_applies_if_the_contact_has_no_expiry(site):
    site.answer = lambda request: respond(request, 200, headers=(("Expires", "120"),))
    site.run(61)
    assert [when - 1000.0 for when, _, _ in site.asked] == [0, 60]


def test_a_200_that_lists_only_other_contacts_is_a_failed_registration(site):
    site.answer = lambda request: respond(
        request, 200, headers=(("Contact", "<sip:somebody@192.0.2.7>"),)
    )
    site.run(1)
    assert site.registration.state is RegistrationState.FAILED


def test_a_registrar_may_return_our_contact_with_a_translated_address(site):
    site.answer = lambda request: respond(
        request, 200, headers=(("Contact", "<sip:01970000000@203.0.113.9:1024>;expires=90"),)
    )
    site.run(46)
    assert [when - 1000.0 for when, _, _ in site.asked] == [0, 45]


def test_a_challenge_is_answered(site):
    digest = DigestServer("trunk", b"k" * 32, lambda u, r, how: ha1(u, r, "secret", how))
    ours = DigestClient("01970000000", "secret")
    site.endpoint.authenticate(lambda request, response, _: ours.answer(request, response, "c"))
    welcome = site.answer

    def answer(request):
        found = digest.verify(request, site.now)
        if found.outcome is AuthOutcome.ACCEPTED:
            return welcome(request)
        return respond(request, 401, headers=digest.challenges(site.now, found.outcome))

    site.answer = answer
    site.run(3301)
    assert site.registration.state is RegistrationState.REGISTERED
    assert [request.cseq.number for _, _, request in site.asked] == [1, 2, 3, 4]


def test_a_423_is_answered_by_a_register_with_the_required_expiry(site):
    def answer(request):
        if int(request.headers.get("Expires")) < 7200:
            return respond(request, 423, headers=(("Min-Expires", "7200"),))
        return respond(request, 200, headers=(("Expires", request.headers.get("Expires")),))

    site.answer = answer
    site.run(1)
    assert site.last.headers.get("Expires") == "7200"
    assert site.registration.state is RegistrationState.REGISTERED


@pytest.mark.parametrize("minimum", ["3600", "0", "999999999", "soon", ""])
def test_a_423_with_an_unusable_min_expires_is_a_failure(site, minimum):
    site.answer = lambda request: respond(request, 423, headers=(("Min-Expires", minimum),))
    site.run(10)
    assert len(site.asked) == 1
    assert site.registration.state is RegistrationState.FAILED


def test_the_pause_between_tries_doubles_after_each_failure_up_to_a_limit(site):
    site.answer = lambda request: respond(request, 403)
    site.run(20_000)
    times = [when for when, _, _ in site.asked]
    pauses = [later - sooner for sooner, later in itertools.pairwise(times)]
    assert all(
        min(30 * 2**n, 1800) / 2 <= pause <= min(30 * 2**n, 1800) for n, pause in enumerate(pauses)
    )
    assert len(pauses) > 8
    assert (site.registration.state, site.registration.status) == (RegistrationState.FAILED, 403)


def test_retry_after_is_respected_up_to_a_limit(site):
    site.answer = lambda request: respond(request, 503, headers=(("Retry-After", "600"),))
    site.run(601)
    assert [when - 1000.0 for when, _, _ in site.asked] == [0, 600]
    site.answer = lambda request: respond(request, 503, headers=(("Retry-After", "9999999"),))
    site.run(600)
    begun = len(site.asked)
    site.run(1801)
    assert len(site.asked) > begun


def test_registration_succeeds_after_a_timeout_once_the_registrar_answers(site):
    welcome, site.answer = site.answer, lambda request: None
    site.run(40)
    assert site.registration.status == 408
    site.answer = welcome
    site.run(60)
    assert site.registration.state is RegistrationState.REGISTERED


def test_after_each_failure_the_next_address_is_tried_even_for_a_whole_day(site):
    site.destinations = [THERE, OTHER]
    site.answer = lambda request: respond(request, 500)
    site.run(86_400)
    tried = [destination for _, destination, _ in site.asked]
    assert len(tried) > 40
    assert tried == [(THERE, OTHER)[number % 2] for number in range(len(tried))]


def test_a_registrar_without_addresses_is_a_failure(site):
    site.destinations = []
    site.run(1)
    assert site.asked == []
    assert (site.registration.state, site.registration.status) == (RegistrationState.FAILED, 503)


def test_a_registrar_of_an_address_family_without_a_local_address_is_a_failure(site):
    site.destinations = [Address("2001:db8::1", 5060)]
    site.run(1)
    assert (site.registration.state, site.registration.status) == (RegistrationState.FAILED, 503)


def test_a_lost_connection_to_the_registrar_causes_a_register_at_once(site):
    site.run(100)
    site.registration.connection_lost(OTHER, site.now)
    site.run(1)
    assert len(site.asked) == 1
    site.registration.connection_lost(THERE, site.now)
    site.run(1)
    assert len(site.asked) == 2


def test_stopping_removes_the_binding(site):
    site.run(10)
    site.registration.stop(site.now)
    site.run(10_000)
    assert len(site.asked) == 2
    assert site.last.headers.get("Expires") == "0"
    assert site.registration.state is RegistrationState.STOPPED


def test_stopping_after_a_refused_registration_sends_nothing(site):
    site.answer = lambda request: respond(request, 403)
    site.run(1)
    site.registration.stop(site.now)
    site.run(10_000)
    assert len(site.asked) == 1
