"""The numbers outside the centre, the lines of a PBX, and the description of what a row lacks."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from galwad.cli.support.console import CliError
from galwad.settings import Settings, load
from galwad.simulate.api import MatrixApi, PageLogin
from galwad.simulate.plan import Addresses, PhoneTransport, Plan, SipLogin
from galwad.simulate.report import StepError
from galwad.simulate.site import (
    Need,
    OutsideNumber,
    PbxLine,
    PbxPhones,
    Site,
    has_pbx,
    outside_number,
    pbx_line,
)
from recording.keys.keyring import OfficerKeys

OFFICER_KEY = OfficerKeys.generate().public_key
WHERE = Addresses("127.0.0.1", 5060, PhoneTransport.UDP, "sip.example", "127.0.0.1", "127.0.0.2")
DESTINATIONS = """
[[destinations]]
match = "500"
class = "department"
target = "sip:500@127.0.0.4:5070"
[[destinations]]
match = "550"
class = "payment"
target = "sip:550@127.0.0.5"
[[destinations]]
match = "560"
class = "external"
target = "sip:560@127.0.0.6;transport=tcp"
[[destinations]]
match = "570"
class = "centre"
target = "sip:570@127.0.0.7"
[[destinations]]
match = "580"
class = "department"
"""
ROUTES = """
[[routes]]
called = "01970000200"
target = ["sip:600@192.0.2.20;transport=tls", "sip:600@192.0.2.21"]
advisors = ["sian"]
[[routes]]
called = "01970000300"
target = "sip:600@192.0.2.20"
[[routes]]
called = "01970000400"
target = "sip:600@192.0.2.20;transport=sctp"
advisors = ["sian"]
"""


@pytest.fixture
def settings(settings_file):
    with settings_file.open("a", encoding="utf-8") as file:
        file.write(DESTINATIONS)
    return load(settings_file)


def test_an_outside_number_has_the_class_and_the_address_of_its_destination(settings):
    assert outside_number(settings, "500") == OutsideNumber("500", "department", "127.0.0.4", 5070)
    assert outside_number(settings, "550") == OutsideNumber("550", "payment", "127.0.0.5", 5060)


@pytest.mark.parametrize(
    ("number", "error"),
    [
        ("999", "--outside 999 is not a destination outside the centre with a `target`"),
        ("570", "--outside 570 is not a destination outside the centre with a `target`"),
        ("580", "--outside 580 is not a destination outside the centre with a `target`"),
        ("560", "the target of --outside 560 is not reached by UDP"),
    ],
)
def test_an_outside_number_that_simulate_cannot_answer_is_one_error_with_a_hint(
    settings, number, error
):
    with pytest.raises(CliError) as raised:
        outside_number(settings, number)
    assert (raised.value.message, raised.value.status) == (error, 2)
    assert raised.value.hint


@given(st.text(max_size=20))
def test_any_text_as_an_outside_number_raises_only_a_command_line_error(text):
    settings = Settings.model_validate(
        {
            "sip": {"listen": ["udp:127.0.0.1:0"]},
            "recording": {"officer_key": OFFICER_KEY},
            "retention": [{"category": "general", "keep": "by hand"}],
            "destinations": [{"match": "5*", "class": "external", "target": "sip:127.0.0.4"}],
        }
    )
    with contextlib.suppress(CliError):
        assert outside_number(settings, text).host == "127.0.0.4"


# --- the lines of a PBX -----------------------------------------------------------------------


@pytest.fixture
def with_pbx(settings_file):
    with settings_file.open("a", encoding="utf-8") as file:
        file.write(ROUTES)
    return load(settings_file)


def test_a_line_of_the_pbx_has_the_first_target_of_its_route(with_pbx):
    line = pbx_line(with_pbx, "01970000200")
    assert line == PbxLine("01970000200", "600", "192.0.2.20:5061", PhoneTransport.TLS)


@pytest.mark.parametrize(
    ("number", "error"),
    [
        ("01970000300", "the line 01970000300 does not lead to a PBX"),
        ("09", "the line 09 does not lead to a PBX"),
        ("01970000400", "the target of 01970000400 cannot be read"),
    ],
)
def test_a_line_that_does_not_lead_to_the_pbx_is_an_error(with_pbx, number, error):
    with pytest.raises(CliError, match=error):
        pbx_line(with_pbx, number)


def test_settings_have_a_pbx_if_a_route_has_a_target_with_advisors(settings, with_pbx):
    assert not has_pbx(settings)
    assert has_pbx(with_pbx)


# --- what a row needs -------------------------------------------------------------------------


def site(settings, *numbers, answering=1, at_pbx=False, keys_card=False, **api):
    accounts = tuple(SipLogin(str(201 + n), "x") for n in range(answering))
    plan = Plan("01970000100", WHERE, "07700900123", None, accounts)
    outside = [outside_number(settings, number) for number in numbers]
    desk = MatrixApi("http://127.0.0.1:9", "http://desk", **api)
    line = PbxLine("01970000200", "600", "127.0.0.3:5060", PhoneTransport.UDP)
    pbx = PbxPhones(plan, line, SipLogin("201", "x"), SipLogin("500", "x")) if at_pbx else None
    return Site(plan, settings, desk, outside, pbx=pbx, keys_card=keys_card)


async def test_each_need_that_is_not_met_says_what_to_configure(settings):
    recording = settings.recording.model_copy(update={"digits_near_pause": 0})
    bare = site(settings.model_copy(update={"recording": recording}), answering=0)
    texts = [bare.missing(need) for need in Need]
    assert all(texts)
    assert len(set(texts)) == len(Need)


async def test_nothing_is_reported_as_missing_if_every_need_is_met(settings):
    recording = settings.recording.model_copy(update={"payment_code_on": "*71"})
    settings = settings.model_copy(update={"recording": recording})
    full = site(
        *(settings, "500", "550"),
        answering=2,
        at_pbx=True,
        keys_card=True,
        machine_token="x",
        page=PageLogin("sian", "x"),
    )
    assert [full.missing(need) for need in Need] == [""] * len(Need)
    outside, payment_line = full.phones[Need.OUTSIDE], full.phones[Need.PAYMENT_LINE]
    assert (outside.extension, payment_line.extension) == ("500", "550")


async def test_an_outside_phone_whose_address_is_not_on_this_machine_is_one_error(settings):
    numbers = settings.destinations[0].model_copy(update={"target": ("sip:500@192.0.2.1:5070",)})
    settings = settings.model_copy(update={"destinations": (numbers,)})
    phone = site(settings, "500").phones[Need.OUTSIDE]
    with pytest.raises(StepError, match=r"cannot answer as 500 at 192\.0\.2\.1:5070"):
        async with phone:
            pass
