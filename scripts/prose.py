"""Draw docstrings and comments at random, or check them against docs/style.md.

python scripts/prose.py sample --seed 7 --count 60
python scripts/prose.py list [FILE ...]
python scripts/prose.py check [FILE ...]

Each text is printed with the code that stands beside it in the file: the signature of a function,
the declaration of an attribute, the line below a comment.
"""

from __future__ import annotations

import argparse
import ast
import io
import random
import re
import subprocess
import sys
import tokenize
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("galwad", "telephony", "recording", "callerid", "config", "net")

_OPENING = re.compile(
    r"(What|Who|Whom|Whose|Whoever|Whatever|Whether|How|Where|So (long|many|much)|It is|They are)\b"
)
_AVOIDED = re.compile(
    r"\b(told(?!:)|whoever|anew|nobody|somebody|likewise|heed|of ours|lies (in|at|there|beside))\b",
    re.IGNORECASE,
)
_FILLER = re.compile(
    r"a|all|an|and|any|are|as|at|be|by|each|every|for|from|given|get|has|have|if|in|into|is|its?|new"
    r"|of|on|one|or|returns?|self|such|that|the|their|them|these|they|this|those|to|which|whose|with"
    r"|yields?"
)
"""Words that say nothing by themselves, unlike "not", "first" and "without"."""
_WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|\d+")
_ENDING = re.compile(r"(ies|ings?|ed|es|s|ers?|ors?|e|y)$")
_SECTION = re.compile(r"^ *(?:Args|Returns|Yields):\n((?: +\S.*\n?)+)", re.MULTILINE)
_MARKER = re.compile(r"#\s*(noqa|type:|pragma|fmt:|shellcheck|!)")


@dataclass(frozen=True)
class Text:
    """One docstring, or one block of comment lines, and where it starts."""

    file: str
    line: int
    name: str
    text: str


def files(named: list[str]) -> list[str]:
    """Return the Python files to read, relative to the repository's root; all if none is named."""
    if named:
        paths = [Path(name).resolve() for name in named]
        found = [
            each for path in paths for each in (path.rglob("*.py") if path.is_dir() else [path])
        ]
        return sorted(path.relative_to(ROOT).as_posix() for path in found)
    listed = subprocess.run(
        ["git", "ls-files", *[f"{package}/**.py" for package in PACKAGES]],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return listed.stdout.split()


def docstrings(file: str, source: str) -> Iterator[Text]:
    """Yield the docstrings of a file's module, classes, functions and attributes."""
    yield from _docstrings(file, ast.parse(source), "module")


def empty(file: str, source: str) -> Iterator[str]:
    """Yield one line for each docstring that says no more than the signature beside it.

    On a private function, method or class, a docstring is empty if each word after its first, a
    verb, is in the signature. On a public one, the same rule finds an empty section `Args`,
    `Returns` or `Yields`.
    """
    yield from _empty(file, ast.parse(source), outer=set(), private=False)


def _empty(file: str, node: ast.AST, *, outer: set[str], private: bool) -> Iterator[str]:
    """Yield the empty docstrings below a node; `outer` has the words of the class around it."""
    for child in ast.iter_child_nodes(node):
        if not isinstance(child, _DEFINITIONS):
            yield from _empty(file, child, outer=outer, private=private)
            continue
        magic = child.name.startswith("__")
        local = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        hidden = private or local or (child.name.startswith("_") and not magic)
        known = outer | _stems(_signature(child))
        text = ast.get_docstring(child) or ""
        said = [text.partition(" ")[2]] if hidden else _SECTION.findall(text + "\n")
        if len(child.body) > 1 and any(_stems(part) <= known for part in said if part):
            line = child.body[0].lineno
            yield f"{file}:{line}: says no more than the signature: {text.splitlines()[0]}"
        inner = _stems(child.name) if isinstance(child, ast.ClassDef) else set[str]()
        yield from _empty(file, child, outer=inner, private=hidden)


_DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


def _signature(node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) -> str:
    """Return the name of a function with its parameters and types, or of a class with its bases."""
    if isinstance(node, ast.ClassDef):
        return " ".join([node.name, *map(ast.unparse, node.bases)])
    returned = ast.unparse(node.returns) if node.returns else ""
    return f"{node.name} {ast.unparse(node.args)} {returned}"


def _stems(text: str) -> set[str]:
    """Return the words of a text or of its names without their endings; fillers are left out."""
    words = {word.lower() for word in _WORD.findall(text)}
    return {
        _ENDING.sub("", word) if len(word) > _SHORT else word
        for word in words
        if not _FILLER.fullmatch(word)
    }


_SHORT = 3
"""Words of at most this many letters have no ending."""


def _docstrings(file: str, node: ast.AST, name: str) -> Iterator[Text]:
    """Yield the docstrings in a node and in the nodes below it; `name` is the node's own name."""
    body = getattr(node, "body", None)
    before: ast.stmt | None = None
    for statement in body if isinstance(body, list) else []:
        if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant):
            value = statement.value.value
            if isinstance(value, str) and (before is None or isinstance(before, _ASSIGNMENTS)):
                shown = name if before is None else f"{name}: {ast.unparse(before)[:200]}"
                yield Text(file, statement.lineno, shown, value)
        before = statement
    for child in ast.iter_child_nodes(node):
        inner = name
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            owner = "" if name == "module" else name.partition("(")[0] + "."
            inner = owner + child.name
            if not isinstance(child, ast.ClassDef):
                returned = f" -> {ast.unparse(child.returns)}" if child.returns else ""
                inner += f"({ast.unparse(child.args)}){returned}"
        yield from _docstrings(file, child, inner)


_ASSIGNMENTS: tuple[type[ast.stmt], ...] = (ast.Assign, ast.AnnAssign)
if sys.version_info >= (3, 12):
    _ASSIGNMENTS += (ast.TypeAlias,)


def comments(file: str, source: str) -> Iterator[Text]:
    """Yield the comments of a file; adjoining comment lines are one text.

    The name of a comment is the code on its own line, or else the line of code below it.
    """
    lines = source.splitlines()
    start, last, found = 0, -1, list[str]()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type != tokenize.COMMENT or _MARKER.match(token.string):
            continue
        if token.start[0] != last + 1 and found:
            yield Text(file, start, _commented(lines, start, last), " ".join(found))
            found = []
        if not found:
            start = token.start[0]
        found.append(token.string.lstrip("# "))
        last = token.start[0]
    if found:
        yield Text(file, start, _commented(lines, start, last), " ".join(found))


def _commented(lines: list[str], start: int, last: int) -> str:
    """Return the code that the comment in the lines `start` to `last` (from 1) is about."""
    beside = lines[start - 1].partition("#")[0].strip()
    below = next((line.strip() for line in lines[last:] if line.strip()), "")
    return f"{_COMMENT}{beside or below}"


_COMMENT = "comment at: "


def texts(named: list[str]) -> list[Text]:
    """Return every docstring and comment of the files, in the order of the files."""
    found: list[Text] = []
    for file in files(named):
        source = (ROOT / file).read_text(encoding="utf-8")
        found.extend(docstrings(file, source))
        found.extend(comments(file, source))
    return found


def faults(text: Text) -> Iterator[str]:
    """Yield one line for each rule of docs/style.md that a text breaks."""
    opening = not text.name.startswith(_COMMENT) and _OPENING.match(text.text)
    if opening:
        yield f"{text.file}:{text.line}: opens with a clause: {text.text.splitlines()[0]}"
    for word in _AVOIDED.finditer(text.text):
        yield f"{text.file}:{text.line}: avoid “{word.group()}”"


def main() -> int:
    """Run the command named on the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    commands = parser.add_subparsers(dest="command", required=True)
    sample = commands.add_parser("sample", help="print texts drawn at random")
    sample.add_argument("--seed", type=int, required=True)
    sample.add_argument("--count", type=int, default=60)
    listing = commands.add_parser("list", help="print every text of the files")
    listing.add_argument("files", nargs="*")
    check = commands.add_parser("check", help="list what breaks a rule of docs/style.md")
    check.add_argument("files", nargs="*")
    arguments = parser.parse_args()
    if arguments.command != "check":
        if arguments.command == "list":
            drawn = texts(arguments.files)
        else:
            drawn = random.Random(arguments.seed).sample(texts([]), arguments.count)
        for number, text in enumerate(drawn, 1):
            print(f"{number}. {text.file}:{text.line}\n   [{text.name}]")
            print("   " + text.text.strip().replace("\n", "\n   "), end="\n\n")
        return 0
    found = [fault for text in texts(arguments.files) for fault in faults(text)]
    for file in files(arguments.files):
        found.extend(empty(file, (ROOT / file).read_text(encoding="utf-8")))
    print("\n".join(found))
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
