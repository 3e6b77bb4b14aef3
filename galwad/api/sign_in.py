"""The security schemes, and the schemes that an endpoint accepts because of its dependencies."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final

from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute

from galwad.api.tags import methods_of
from galwad.calls import payment_pages
from galwad.host import embedding
from galwad.people import access

SCHEMES: Final[dict[str, dict[str, str]]] = {
    "machineToken": {
        "type": "http",
        "scheme": "bearer",
        "description": "The token of a machine, from `galwad users add` or POST `/tokens`. It can "
        "use the rights of the machine that are among the token's rights.",
    },
    "sessionToken": {
        "type": "http",
        "scheme": "bearer",
        "description": 'The `token` in the answer to POST `/login` with the client "cli".',
    },
    "personalToken": {
        "type": "http",
        "scheme": "bearer",
        "description": "A token that a person has made with POST `/me/tokens`. It pauses and "
        "resumes that person's own calls.",
    },
    "paymentPageToken": {
        "type": "http",
        "scheme": "bearer",
        "description": "The token of one call, from POST `/payment-tokens`.",
    },
    "sessionCookie": {
        "type": "apiKey",
        "in": "cookie",
        "name": "__Host-galwad",
        "description": "The cookie of a sign-in in the browser. A request that changes something "
        "must also have the desk's own `Origin`. Without TLS, the cookie is named `galwad`.",
    },
    "embeddedCookie": {
        "type": "apiKey",
        "in": "cookie",
        "name": embedding.COOKIE,
        "description": "The cookie of the page in a panel of a CRM: of a sign-in with the client "
        "`embedded`, or with `/panels`.",
    },
    "csrfToken": {
        "type": "apiKey",
        "in": "header",
        "name": embedding.CSRF_HEADER,
        "description": "The `csrf` in the answer to GET `/me`. Each request with the embedded "
        "cookie that changes something needs it too.",
    },
}


def dependencies_of(route: APIRoute) -> list[Callable[..., Any]]:
    """Return the functions on which an endpoint depends, also through other dependencies."""
    return list(_calls(route.dependant))


def _calls(dependant: Dependant) -> Iterator[Callable[..., Any]]:
    for each in dependant.dependencies:
        yield from _calls(each)
        if each.call is not None:
            yield each.call


def security_of(route: APIRoute) -> list[dict[str, list[str]]]:
    """Return the OpenAPI security requirements. A request must meet one; each request meets {}."""
    needed = set(dependencies_of(route))
    if payment_pages.token_of in needed:
        return [{"paymentPageToken": []}]
    if needed.isdisjoint({access.pausing, access.entering}):
        stranger: dict[str, list[str]] = {}
        maybe = not needed.isdisjoint({access.session_of, access.leaving})
        return [stranger, *_schemes(route)] if maybe else []
    found = _schemes(route)
    if not needed.isdisjoint({access.person, access.entering_person}):
        found.remove({"machineToken": []})
    if needed.isdisjoint({access.signed_in, access.entering}):
        found.append({"personalToken": []})
    return found


def _schemes(route: APIRoute) -> list[dict[str, list[str]]]:
    embedded: dict[str, list[str]] = {"embeddedCookie": []}
    if not methods_of(route) <= embedding.SAFE_METHODS:
        embedded["csrfToken"] = []
    return [{"machineToken": []}, {"sessionToken": []}, {"sessionCookie": []}, embedded]


def who(route: APIRoute) -> str:
    """Return the kinds of users that an endpoint admits, as a sentence; "" if it admits anyone."""
    needed = set(dependencies_of(route))
    for function, users in _WHO:
        if function in needed:
            return f"For {users}."
    return ""


_WHO: Final[tuple[tuple[Callable[..., Any], str], ...]] = (
    (access.administrator, "recording administrators"),
    (access.supervisor, "supervisors and recording administrators"),
    (access.person, "people who are signed in"),
    (access.entering_person, "people who are signed in"),
    (access.signed_in, "people who are signed in, and machines"),
    (access.entering, "people who are signed in, and machines"),
    (access.pausing, "people who are signed in, machines, and personal tokens"),
    (payment_pages.token_of, "payment pages"),
)
"""The users whom each dependency admits; `who` takes the first one that an endpoint has."""
