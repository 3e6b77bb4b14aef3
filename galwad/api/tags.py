"""The tags, which group the endpoints of the API's description by subject."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from fastapi.routing import APIRoute


@dataclass(frozen=True, slots=True)
class Tag:
    """A subject of the API. `modules` are the groups (`module_of`) of its endpoints."""

    name: str
    description: str
    modules: tuple[str, ...]


TAGS = (
    Tag(
        "Payments",
        "Pause and resume the recording of a call while card details are taken.",
        ("payments", "payment_pages"),
    ),
    Tag(
        "Calls",
        "Live calls: who is calling, the contact note, and the user's own calls of today.",
        ("calls", "today", "phones"),
    ),
    Tag(
        "Events",
        "Streams of events (server-sent events): call events for machines, changes for the page.",
        ("stream",),
    ),
    Tag("Presence", "Which advisors are available, on a call or on a break.", ("presence",)),
    Tag(
        "Recordings",
        "Search, show and fetch recordings, which are sent as they are stored: encrypted.",
        ("recordings", "gaps"),
    ),
    Tag(
        "Custody",
        "Flag, dispose of and recover recordings, seal them to other recipients, and repair "
        "the index.",
        ("custody", "headers", "reindex"),
    ),
    Tag(
        "Legal holds",
        "The cases for which recordings are retained, and their release by two people.",
        ("holds",),
    ),
    Tag(
        "Disclosures",
        "Who gets copies of recordings because of a law, a crime or a danger to life, and who "
        "approves it.",
        ("disclosures",),
    ),
    Tag(
        "Retention",
        "How long recordings are kept, and the disposal of those whose term is over.",
        ("retention",),
    ),
    Tag(
        "Cases",
        "Requests by people about their data, and complaints: deadlines, steps and found calls.",
        ("cases",),
    ),
    Tag(
        "Evidence",
        "The audit chain, and the checks that prove what was recorded.",
        ("audit", "coverage", "promises"),
    ),
    Tag("Contact notes", "The delivery of contact notes, and their purposes.", ("contacts",)),
    Tag("Call events", "Call events that their receiver does not have.", ("webhooks",)),
    Tag("Alarms", "What needs a person's attention, and who handles it.", ("alarms",)),
    Tag("Figures", "How many calls there were, without any name.", ("figures",)),
    Tag(
        "Sign-in",
        "Sign in and out, and the signed-in user's own account.",
        ("accounts", "sign_in", "second_factor", "command_lines", "panels"),
    ),
    Tag("Tokens", "Tokens of machines, and the personal tokens of people.", ("tokens",)),
    Tag(
        "Administration",
        "Users, the directories of people, and the lists of texts in both languages.",
        ("users", "directories", "texts"),
    ),
    Tag("System", "The node's health and metrics, and the page's texts.", ("system",)),
)
_BY_MODULE = {module: tag.name for tag in TAGS for module in tag.modules}


def module_of(route: APIRoute) -> str:
    """Return the name of the group of an endpoint, such as "payments".

    It is the last tag of the endpoint in the code, or the module's name if there is no tag.
    """
    if route.tags:
        return str(route.tags[-1])
    return route.endpoint.__module__.rpartition(".")[2]


def methods_of(route: APIRoute) -> frozenset[str]:
    """Return the methods of an endpoint, such as "GET"."""
    return frozenset(route.methods or ())


def tag_of(route: APIRoute) -> str:
    """Return the name of the tag of an endpoint; "" if no tag has its group."""
    return _BY_MODULE.get(module_of(route), "")


def operation_id(route: APIRoute) -> str:
    """Return the name of an endpoint: its group and its function, such as `payments_pause_all`.

    If group and function have the same name, such as `figures`, this name is returned.
    """
    module, function = module_of(route), route.endpoint.__name__
    return function if module == function else f"{module}_{function}"


def used_tags(names: Iterable[str]) -> list[dict[str, str]]:
    """Return the OpenAPI objects of those tags that have one of these names."""
    used = set(names)
    return [{"name": tag.name, "description": tag.description} for tag in TAGS if tag.name in used]
