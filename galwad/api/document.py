"""The OpenAPI document of the API, made from its endpoints and their docstrings."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from fastapi import APIRouter, FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute

from galwad.api.docstrings import description_of, refusals_of, summary_of
from galwad.api.examples import EXAMPLES, PARAMETERS
from galwad.api.sign_in import SCHEMES, dependencies_of, security_of, who
from galwad.api.tags import methods_of, operation_id, tag_of, used_tags
from galwad.host.errors import Refusal

Document: TypeAlias = dict[str, Any]
"""A JSON object of the OpenAPI Specification 3.1 (https://spec.openapis.org/oas/v3.1.1.html)."""
PREFIX: Final = "/api/v1"
_DESCRIPTION: Final = """\
The API of one desk: it pauses recordings for payments, shows live calls, finds recordings and
proves what was recorded. The page uses the same API.

A machine sends its token as `Authorization: Bearer …`. A person has a cookie, the token of a
sign-in with the client `cli`, or a personal token, which only pauses and resumes. Every request
that fails is answered with a JSON object that has `error` (what is wrong) and `hint` (what to do).
Besides the errors of each operation, any request can receive 414 (the address is too long), 422
(the address seems to contain the number of a payment card) and 500. Times are Unix seconds. Lengths
with `_us` are microseconds.

`docs/http-api.md` in Galwad's documentation explains each subject with examples.
"""
_SCHEMA: Final = {"$ref": "#/components/schemas/Refusal"}
_RETRY_AFTER: Final = {
    "Retry-After": {"description": "The seconds to wait.", "schema": {"type": "integer"}}
}
_INVALID: Final = "A field, parameter or header field is missing or not valid; `hint` names it."
_INVALID_EXAMPLE: Final = {
    "error": "a field is missing or not valid",
    "hint": "look at: body.days (must be at least 1)",
}
_OTHER_SITE: Final = "The request comes from another site."
_UNAVAILABLE: Final = "A part of Galwad does not answer, such as the audit. Check what was done."
_FASTAPIS_TEXT: Final = "Successful Response"
_SHARED: Final = "#/components/responses/"


def _refusal(status: int, description: str) -> Document:
    content: Document = {"schema": _SCHEMA}
    if status == 422:
        content["example"] = _INVALID_EXAMPLE
    answer = {"description": description, "content": {"application/json": content}}
    return answer | ({"headers": _RETRY_AFTER} if status == 429 else {})


UNREADABLE: Final = {
    "400": _refusal(400, "The request cannot be read."),
    "413": _refusal(413, "The body is longer than 256 kB, or 16 kB if the client is a stranger."),
    "415": _refusal(415, "The body is not sent with `Content-Type: application/json`."),
}
"""The answers, by status, that each request with a body can receive because of its body."""


@dataclass(frozen=True, slots=True)
class _Operation:
    route: APIRoute
    node: Document

    def describe(self) -> None:
        endpoint = self.route.endpoint
        self.node["operationId"] = operation_id(self.route)
        self.node.pop("tags", None)  # the tags in the code only name a group of endpoints
        self.node["tags"] = [tag for tag in [tag_of(self.route)] if tag]
        self.node["summary"] = summary_of(endpoint)
        texts = description_of(endpoint), who(self.route)
        self.node["description"] = "\n\n".join(filter(None, texts))
        self.node["security"] = security_of(self.route)
        self._add_errors()
        self._add_examples()

    def _add_errors(self) -> None:
        responses = self.node["responses"]
        responses.pop("422", None)  # the body that FastAPI describes differs from ours
        for answer in responses.values():
            if answer["description"] == _FASTAPIS_TEXT:
                answer["description"] = "The request has succeeded."
        for status, reasons in self._refusals().items():
            responses.setdefault(str(status), _refusal(status, " ".join(reasons)))
        if "requestBody" in self.node:
            responses |= {name: {"$ref": f"{_SHARED}{name}"} for name in UNREADABLE}
        self.node["responses"] = dict(sorted(responses.items()))

    def _refusals(self) -> dict[int, list[str]]:
        found = refusals_of([*dependencies_of(self.route), self.route.endpoint])
        if "requestBody" in self.node or "parameters" in self.node:
            found.setdefault(422, []).insert(0, _INVALID)
        if not methods_of(self.route) <= {"GET", "HEAD"}:
            found.setdefault(403, []).append(_OTHER_SITE)
        if self.node["security"]:
            found.setdefault(503, []).append(_UNAVAILABLE)
        return found

    def _add_examples(self) -> None:
        example = EXAMPLES.get(self.node["operationId"])
        for parameter in self.node.get("parameters", ()):
            known = PARAMETERS.get(parameter["name"])
            if known is not None:
                parameter.setdefault("description", known.description)
                parameter.setdefault("example", known.example)
        if example is None:
            return
        if example.request is not None:
            self.node["requestBody"]["content"]["application/json"]["example"] = example.request
        if example.response is not None:
            success = next(iter(self.node["responses"].values()))
            success["content"]["application/json"]["example"] = example.response


def describe(app: FastAPI, routers: Iterable[APIRouter]) -> None:
    """Let `app` describe the endpoints of `routers` when its document is first requested."""
    endpoints = list(_endpoints(routers))

    def openapi() -> Document:
        if app.openapi_schema is None:
            app.openapi_schema = _document(app, endpoints)
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]


def _endpoints(routers: Iterable[APIRouter]) -> Iterator[APIRoute]:
    for router in routers:
        for route in router.routes:
            if isinstance(route, APIRoute) and route.include_in_schema:
                yield route


def _document(app: FastAPI, endpoints: list[APIRoute]) -> Document:
    document: Document = get_openapi(
        title=app.title,
        version=app.version,
        summary="Screen-pops, recordings and payment pauses of a contact centre",
        description=_DESCRIPTION,
        license_info={"name": "Apache-2.0", "identifier": "Apache-2.0"},
        routes=app.routes,
    )
    for route in endpoints:
        for method in methods_of(route):
            node = document["paths"][PREFIX + route.path_format][method.lower()]
            _Operation(route, node).describe()
    schemas = document["components"]["schemas"]
    for unused in ("HTTPValidationError", "ValidationError"):
        schemas.pop(unused, None)
    schemas["Refusal"] = Refusal.model_json_schema()
    document["components"]["schemas"] = dict(sorted(schemas.items()))
    document["components"]["responses"] = UNREADABLE
    document["components"]["securitySchemes"] = SCHEMES
    document["tags"] = used_tags(tag_of(route) for route in endpoints)
    return document
