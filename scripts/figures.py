"""Print figures about the size of the product and its tests, as JSON.

    python scripts/figures.py [FOLDER]     a checkout, by default this one
    python scripts/figures.py --trips      also the functions and files of five trips (trips.py),
                                           for which it needs the packages of scripts/check

A line of code has more than a comment or white space, and belongs to no docstring and no import.
Two data shapes share fields if at least five of their fields have the same names. A data shape is
a class whose body declares at least five fields (annotated names). The time and the CPU time of the
suite are in the last line of `scripts/run_tests.py`.
"""

from __future__ import annotations

import ast
import io
import json
import statistics
import sys
import tokenize
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PRODUCT = ("telephony", "recording", "callerid", "config", "net", "galwad")
FIELDS = 5
"""This many fields make a class a data shape, and this many common ones a shared shape."""
SMALL = 50
"""A module with fewer lines of code is small."""
NO_CODE = {
    tokenize.COMMENT,
    tokenize.NL,
    tokenize.NEWLINE,
    tokenize.INDENT,
    tokenize.DEDENT,
    tokenize.ENCODING,
    tokenize.ENDMARKER,
}


def docstring_lines(tree: ast.Module) -> set[int]:
    """Return the numbers of the lines that belong to docstrings, also to those of fields."""
    lines: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            for statement in node.body:
                match statement:
                    case ast.Expr(value=ast.Constant(value=str())):
                        lines.update(range(statement.lineno, (statement.end_lineno or 0) + 1))
    return lines


def import_lines(tree: ast.Module) -> set[int]:
    """Return the numbers of the lines that belong to imports."""
    return {
        line
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for line in range(node.lineno, (node.end_lineno or 0) + 1)
    }


def code_lines(text: str) -> set[int]:
    """Return the numbers of the lines that have more than comments and white space."""
    return {
        line
        for token in tokenize.generate_tokens(io.StringIO(text).readline)
        if token.type not in NO_CODE
        for line in range(token.start[0], token.end[0] + 1)
    }


def shapes(tree: ast.Module) -> Iterator[frozenset[str]]:
    """Yield the names of the fields of each data shape."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef):
            fields = frozenset(
                statement.target.id
                for statement in node.body
                if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name)
            )
            if len(fields) >= FIELDS:
                yield fields


def figures(root: Path, folders: tuple[str, ...]) -> dict[str, float]:
    """Return the figures of the Python files in these folders of a checkout."""
    paths = sorted(path for folder in folders for path in (root / folder).rglob("*.py"))
    lines = docstrings = imports = functions = 0
    modules: list[int] = []
    found: list[frozenset[str]] = []
    for path in paths:
        text = path.read_text(encoding="utf-8")
        tree = ast.parse(text)
        in_docstrings, in_imports = docstring_lines(tree), import_lines(tree)
        code = code_lines(text) - in_docstrings
        lines += len(text.splitlines())
        docstrings += len(in_docstrings)
        imports += len(in_imports)
        functions += sum(
            isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) for node in ast.walk(tree)
        )
        found += shapes(tree)
        if path.name != "__init__.py" or code:
            modules.append(len(code - in_imports))
    return {
        "lines": lines,
        "code": sum(modules),
        "docstrings": docstrings,
        "imports": imports,
        "functions": functions,
        "modules": len(modules),
        "median_module": statistics.median(modules),
        "small_modules": sum(size < SMALL for size in modules),
        "data_shapes": len(found),
        "shared_shapes": sum(len(one & other) >= FIELDS for one, other in combinations(found, 2)),
    }


def main() -> None:
    """Print the figures of a checkout's product and of its tests, and perhaps of the trips."""
    folders = [argument for argument in sys.argv[1:] if argument != "--trips"]
    root = Path(folders[0]) if folders else ROOT
    found: dict[str, object] = {
        "product": figures(root, PRODUCT),
        "tests": figures(root, ("tests",)),
    }
    if "--trips" in sys.argv:
        from trips import count  # noqa: PLC0415 - it imports the product

        found["trips"] = count()
    print(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
