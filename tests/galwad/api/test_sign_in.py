"""The ways to sign in that each endpoint takes follow from its dependencies."""

from __future__ import annotations

import pytest

from galwad.api.sign_in import SCHEMES, security_of, who
from galwad.api.tags import methods_of
from galwad.host import embedding
from helpers.endpoints import endpoints

ROUTES = endpoints()
PERSON = [{"sessionToken"}, {"sessionCookie"}, {"embeddedCookie"}]
CHANGING = [*PERSON[:2], {"embeddedCookie", "csrfToken"}]
MACHINE = {"machineToken"}


def schemes(name):
    """Return the names of the schemes in each requirement of an endpoint."""
    return [set(requirement) for requirement in security_of(ROUTES[name])]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("accounts_login", []),
        ("system_strings", []),
        ("system_health", [set(), MACHINE, *PERSON]),
        ("calls", PERSON),
        ("calls_confirm", CHANGING),
        ("audit_entries", PERSON),
        ("audit_head", [MACHINE, *PERSON]),
        ("payments_pause", [MACHINE, *CHANGING]),
        ("payments_pause_all", [MACHINE, *CHANGING, {"personalToken"}]),
        ("payment_pages_pause", [{"paymentPageToken"}]),
    ],
)
def test_an_endpoint_accepts_the_kinds_of_sign_in_of_its_dependencies(name, expected):
    assert schemes(name) == expected


def test_each_scheme_that_an_endpoint_takes_is_described():
    used = {scheme for name in ROUTES for each in schemes(name) for scheme in each}
    assert used == set(SCHEMES)
    assert SCHEMES["csrfToken"]["name"] == embedding.CSRF_HEADER


@pytest.mark.parametrize(
    ("name", "users"),
    [
        ("accounts_login", ""),
        ("tokens", "For recording administrators."),
        ("recordings_search", "For supervisors and recording administrators."),
        ("calls", "For people who are signed in."),
        ("audit_head", "For people who are signed in, and machines."),
        ("payment_pages_pause", "For payment pages."),
    ],
)
def test_the_description_says_who_may_use_an_endpoint(name, users):
    assert who(ROUTES[name]) == users


async def test_each_endpoint_that_needs_a_sign_in_refuses_a_stranger(running):
    """The description must not promise more protection than there is."""
    stranger = running.client()
    for name, route in ROUTES.items():
        needed = schemes(name)
        if not needed or set() in needed:
            continue
        path = route.path.replace("{language}", "en")
        (method,) = methods_of(route)
        reply = await stranger.request(method, f"/api/v1{path}", json={})
        assert reply.status_code in {401, 422}, name
        if reply.status_code == 422:
            assert "look at" in reply.json()["hint"], name
