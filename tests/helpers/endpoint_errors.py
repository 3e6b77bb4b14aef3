"""The errors that an endpoint can raise, found in its source and in the functions it calls."""

from __future__ import annotations

import ast
import inspect
import sys
import textwrap
from collections.abc import Callable
from typing import Any

Raised = tuple[int, str]
"""A status, and the name of the function that raises it."""


def errors_of(function: Callable[..., Any]) -> set[Raised]:
    """Return each status that a function raises as an `ApiError`, itself or through others.

    The functions that it calls by name count too, if they are in `galwad`.
    """
    found: set[Raised] = set()
    _scan(function, set(), found)
    return found


def _scan(function: Callable[..., Any], seen: set, found: set[Raised]) -> None:
    if function in seen:
        return
    seen.add(function)
    module = sys.modules[function.__module__]
    for node in ast.walk(ast.parse(textwrap.dedent(inspect.getsource(function)))):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name):
            continue
        status = node.args[0] if node.args else None
        if node.func.id == "ApiError" and isinstance(status, ast.Constant):
            found.add((int(str(status.value)), function.__name__))
        called = getattr(module, node.func.id, None)
        if inspect.isfunction(called) and called.__module__.startswith("galwad."):
            _scan(called, seen, found)
