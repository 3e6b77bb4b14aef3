"""The facts about people that a call's events contain."""

from __future__ import annotations

from recording.archive.call_facts import CallFacts
from recording.archive.summary import LaterAdvisor, LaterCaller
from recording.spool import EventRecord

CALL = ("call", {"number": "+441632960912", "withheld": False, "line": "Tax"})


def personal(*events):
    """Return the personal facts of events, each of which is one second after the one before."""
    facts = CallFacts(0)
    for second, (kind, fields) in enumerate(events):
        facts.event(second * 1_000_000, EventRecord(second * 1_000_000, kind, fields))
    return facts.personal


def caller(number, *, withheld=False, known=False):
    return "caller", {"number": number, "withheld": withheld, "known": known}


def test_the_call_keeps_the_number_of_its_first_caller_and_later_callers_have_times():
    answered = ("answered", {"advisor": "sian", "extension": "201"})
    facts = personal(CALL, answered, caller("+441632960001"), caller("+441632960002"))
    assert (facts.number, facts.line, facts.advisor) == ("+441632960912", "Tax", "sian")
    assert facts.later_callers == (
        LaterCaller(2_000_000, "+441632960001"),
        LaterCaller(3_000_000, "+441632960002"),
    )


def advisor(user, extension):
    return "advisor", {"user": user, "extension": extension}


def test_the_advisor_who_answered_stays_the_first_and_later_advisors_have_times():
    answered = ("answered", {"advisor": "", "extension": "600"})
    queue, sian = advisor("", "850"), advisor("sian", "201")
    facts = personal(CALL, answered, queue, sian, sian, queue)
    assert (facts.advisor, facts.extension) == ("", "600")
    assert facts.later_advisors == (
        LaterAdvisor(2_000_000, "", "850"),
        LaterAdvisor(3_000_000, "sian", "201"),
        LaterAdvisor(5_000_000, "", "850"),
    )


def test_an_advisor_whom_the_next_spool_names_again_is_stored_once():
    answered = ("answered", {"advisor": "sian", "extension": "201"})
    ceri = advisor("ceri", "202")
    again = ("answered", {"advisor": "ceri", "extension": "202", "since_us": 3})
    assert len(personal(CALL, answered, ceri, again).later_advisors) == 1


def test_copies_of_older_events_at_the_beginning_of_a_spool_name_no_later_advisor():
    facts = CallFacts(0)
    answered = EventRecord(1, "answered", {"advisor": "sian", "extension": "201"})
    for event in (answered, EventRecord(2, *advisor("ceri", "202"))) * 2:
        facts.event(event.at_us, event)
    assert facts.personal.later_advisors == (LaterAdvisor(2, "ceri", "202"),)


def test_a_later_caller_who_withholds_the_number_has_no_number():
    facts = personal(CALL, caller("+441632960001", withheld=True))
    assert facts.later_callers == (LaterCaller(1_000_000, None, True),)


def test_a_caller_that_the_next_spool_repeats_is_stored_once():
    once = caller("+441632960001")
    again = caller("+441632960001", known=True)
    assert len(personal(CALL, once, CALL, again).later_callers) == 1


def test_a_repeated_caller_is_stored_if_the_spool_with_the_original_is_lost():
    facts = personal(CALL, caller("+441632960001", known=True))
    assert facts.later_callers == (LaterCaller(1_000_000, "+441632960001"),)


def test_a_caller_event_without_readable_fields_is_a_caller_without_a_number():
    assert personal(CALL, ("caller", {"number": 7})).later_callers == (
        LaterCaller(1_000_000, None),
    )
