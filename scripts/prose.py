"""Draw docstrings and comments at random, or check them against docs/style.md.

python scripts/prose.py sample --seed 7 --count 60
python scripts/prose.py check [FILE ...]
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
PACKAGES = ("galwad", "telephony", "recording", "callerid", "config")

_OPENING = re.compile(
    r"(What|Who|Whom|Whose|Whoever|Whatever|Whether|How|Where|So (long|many|much)|It is|They are)\b"
)
_AVOIDED = re.compile(
    r"\b(told(?!:)|whoever|anew|nobody|likewise|heed|of ours|lies (in|at|there|beside))\b",
    re.IGNORECASE,
)
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
        return [Path(name).resolve().relative_to(ROOT).as_posix() for name in named]
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
    for node in ast.walk(ast.parse(source)):
        body = getattr(node, "body", None)
        if not isinstance(body, list):
            continue
        name = getattr(node, "name", Path(file).stem)
        for index, statement in enumerate(body):
            if not (isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)):
                continue
            value = statement.value.value
            before = body[index - 1] if index else None
            if isinstance(value, str) and (before is None or isinstance(before, _ASSIGNMENTS)):
                shown = name if before is None else f"{name}: {ast.unparse(before)[:60]}"
                yield Text(file, statement.lineno, shown, value)


_ASSIGNMENTS: tuple[type[ast.stmt], ...] = (ast.Assign, ast.AnnAssign)
if sys.version_info >= (3, 12):
    _ASSIGNMENTS += (ast.TypeAlias,)


def comments(file: str, source: str) -> Iterator[Text]:
    """Yield the comments of a file; adjoining comment lines are one text."""
    start, last, lines = 0, -1, list[str]()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type != tokenize.COMMENT or _MARKER.match(token.string):
            continue
        if token.start[0] != last + 1 and lines:
            yield Text(file, start, "comment", " ".join(lines))
            lines = []
        if not lines:
            start = token.start[0]
        lines.append(token.string.lstrip("# "))
        last = token.start[0]
    if lines:
        yield Text(file, start, "comment", " ".join(lines))


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
    opening = text.name != "comment" and _OPENING.match(text.text)
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
    check = commands.add_parser("check", help="list what breaks a rule of docs/style.md")
    check.add_argument("files", nargs="*")
    arguments = parser.parse_args()
    if arguments.command == "sample":
        drawn = random.Random(arguments.seed).sample(texts([]), arguments.count)
        for number, text in enumerate(drawn, 1):
            print(f"{number}. {text.file}:{text.line} ({text.name})")
            print("   " + text.text.strip().replace("\n", "\n   "), end="\n\n")
        return 0
    found = [fault for text in texts(arguments.files) for fault in faults(text)]
    print("\n".join(found))
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
