"""The endpoints of the API, as the application has them."""

from __future__ import annotations

from fastapi.routing import APIRoute

from galwad.api.app import ENDPOINT_MODULES
from galwad.api.tags import operation_id


def endpoints() -> dict[str, APIRoute]:
    """Return each endpoint, by its name in the description."""
    routes = [route for module in ENDPOINT_MODULES for route in module.router.routes]
    return {operation_id(route): route for route in routes if isinstance(route, APIRoute)}
