"""Each module of endpoints belongs to one tag, and each endpoint has a readable name."""

from __future__ import annotations

from collections import Counter

from galwad.api.tags import TAGS, operation_id, used_tags
from helpers.endpoints import endpoints


def test_no_module_is_in_two_tags():
    modules = Counter(module for tag in TAGS for module in tag.modules)
    assert set(modules.values()) == {1}
    assert len({tag.name for tag in TAGS}) == len(TAGS)


def test_an_endpoint_is_named_after_its_module_and_function():
    routes = endpoints()
    assert operation_id(routes["payments_pause_all"]) == "payments_pause_all"
    assert routes["payments_pause_all"].path == "/payments"


def test_an_endpoint_named_like_its_module_does_not_repeat_the_name():
    assert endpoints()["figures"].path == "/figures"


def test_only_the_tags_that_are_used_are_described():
    assert [tag["name"] for tag in used_tags(["Alarms", "Payments", ""])] == ["Payments", "Alarms"]
