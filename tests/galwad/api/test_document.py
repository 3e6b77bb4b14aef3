"""The description of the API is valid, complete and committed: each endpoint is in it.

Covers also the examples of galwad/api/examples.py, the body of
galwad/host/errors.py and the program scripts/openapi.py.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from openapi_spec_validator import validate
from pydantic import TypeAdapter

from galwad.api.app import create_api
from galwad.api.document import PREFIX, describe
from galwad.api.examples import EXAMPLES
from galwad.api.sign_in import dependencies_of
from galwad.api.tags import TAGS, module_of, operation_id
from galwad.calls import payments
from galwad.host.errors import ApiError, Refusal
from helpers.endpoint_errors import errors_of
from helpers.endpoints import endpoints

ROOT = Path(__file__).parents[3]
ROUTES = endpoints()
"""Each endpoint of the API, by its name."""
NEVER = {
    ("alarms_close", 409): "each supervisor can close an alarm, also one that is closed already",
    ("recordings_newest", 422): "its search has no filters",
}
"""Statuses of functions that endpoints call, which these endpoints never answer."""
each_endpoint = pytest.mark.parametrize("name", ROUTES)


@pytest.fixture(scope="module")
def document():
    """Return the description of the API."""
    return create_api().openapi()


@pytest.fixture(scope="module")
def operations(document):
    """Return each operation of the description, by its name."""
    return {
        operation["operationId"]: operation
        for methods in document["paths"].values()
        for operation in methods.values()
    }


def test_the_description_is_valid_openapi(document):
    validate(document)


def test_the_committed_description_is_that_of_the_endpoints(tmp_path):
    """The script runs in a process of its own, so that other tests cannot change the result."""
    code = "import openapi; print(openapi.text(), end='')"
    made = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": str(ROOT / "scripts")},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    committed = (ROOT / "docs/openapi.json").read_text(encoding="utf-8")
    assert made == committed, "docs/openapi.json is stale: run `python scripts/openapi.py`"


def test_each_endpoint_has_a_name_of_its_own(operations):
    described = len(operations)
    assert described == len(ROUTES), "two endpoints of one module have the same function name"


@each_endpoint
def test_each_endpoint_has_a_tag(name, operations):
    module = module_of(ROUTES[name])
    assert operations[name]["tags"], (
        f"the endpoints of {module} have no tag: add "
        f'"{module}" to the modules of a Tag in galwad/api/tags.py'
    )


@each_endpoint
def test_each_endpoint_has_a_docstring(name, operations):
    assert operations[name]["summary"], (
        f"{name} has no docstring: its first sentence is the summary of the description"
    )


@each_endpoint
def test_each_error_that_an_endpoint_can_raise_is_described(name, operations):
    route = ROUTES[name]
    functions = [*dependencies_of(route), route.endpoint]
    raised = set().union(*(errors_of(each) for each in functions))
    missing = sorted(
        (status, where)
        for status, where in raised
        if str(status) not in operations[name]["responses"] and (name, status) not in NEVER
    )
    section = "\n".join(f"        ApiError: {status}, …   (of {by})" for status, by in missing)
    assert not missing, (
        f"add to the docstring of the endpoint {name}, and run scripts/openapi.py:\n"
        f"    Raises:\n{section}"
    )


@each_endpoint
def test_the_body_of_each_error_is_the_one_that_the_desk_sends(name, operations, document):
    for status, answer in operations[name]["responses"].items():
        if status >= "400" and (name, status) != ("system_health", "503"):
            shared = document["components"]["responses"].get(status)
            schema = (shared if "$ref" in answer else answer)["content"]["application/json"][
                "schema"
            ]
            assert schema == {"$ref": "#/components/schemas/Refusal"}, status
    assert document["components"]["schemas"]["Refusal"] == Refusal.model_json_schema()


def test_a_status_429_says_when_to_try_again(operations):
    limited = [each for each in operations.values() if "429" in each["responses"]]
    assert len(limited) > 2
    for each in limited:
        assert "Retry-After" in each["responses"]["429"]["headers"]


@pytest.mark.parametrize("name", EXAMPLES)
def test_each_example_is_a_valid_body(name):
    route, example = ROUTES[name], EXAMPLES[name]
    if example.request is not None:
        assert route.body_field is not None
        body: Any = route.body_field.field_info.annotation
        TypeAdapter(body).validate_python(example.request)
    if example.response is not None:
        model = TypeAdapter(route.response_model)
        answer = model.dump_python(model.validate_python(example.response), mode="json")
        assert answer == example.response


def test_each_tag_that_is_used_has_a_description(document):
    assert [tag["name"] for tag in document["tags"]] == [
        tag.name
        for tag in TAGS
        if any(module_of(route) in tag.modules for route in ROUTES.values())
    ]
    assert all(tag["description"] for tag in document["tags"])


def test_the_description_omits_an_endpoint_that_is_not_in_the_schema():
    app = FastAPI(generate_unique_id_function=operation_id)
    app.include_router(payments.router, prefix=PREFIX)

    async def hidden() -> None:
        raise ApiError(404, "no")

    app.get("/hidden", include_in_schema=False)(hidden)
    describe(app, [payments.router])
    document = app.openapi()
    assert set(document["paths"]) == {"/api/v1/calls/{call_id}/payment", "/api/v1/payments"}
    assert document is app.openapi()
