"""Each class name means one thing; texts keep to docs/style.md; libraries name no commands."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("galwad", "telephony", "recording", "callerid", "config", "net")
SHARED = {
    "CallEnded": "the event of telephony.b2bua, and the message about it to the desk",
    "DnsClient": "the same protocol, for the switch and for the phone, which share no module",
    "VerifiedRecording": "the result of the verification, and the message with it",
}
"""Public class names that two modules may share: one thing seen from two sides."""
MOST_SHARED = 10


def public_classes():
    """Return the modules that define each public class, by the class's name."""
    found = defaultdict(list)
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                    found[node.name].append(path.relative_to(ROOT).as_posix())
    return found


def test_only_the_listed_pairs_of_public_classes_share_a_name():
    shared = {name: places for name, places in public_classes().items() if len(places) > 1}
    assert shared.keys() == SHARED.keys(), shared
    assert all(len(places) == 2 for places in shared.values()), shared
    assert len(SHARED) <= MOST_SHARED


def test_docstrings_and_comments_pass_the_style_check():
    command = [sys.executable, str(ROOT / "scripts" / "prose.py"), "check"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.stdout.strip() == ""
    assert done.returncode == 0


def test_the_errors_of_recording_and_telephony_name_no_commands_of_galwad():
    """These packages can be used without the command line, which adds its own hints."""
    # A text with a line break is the context of a signature, not an error.
    commands = "audit|backup|calls|check|directory|keys|login|recordings|serve|simulate|users"
    found = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for package in ("recording", "telephony")
        for path in sorted((ROOT / package).rglob("*.py"))
        for node in strings(ast.parse(path.read_text(encoding="utf-8")))
        if re.search(rf"galwad ({commands})\b", node.value) and "\n" not in node.value
    ]
    assert found == []


def strings(tree):
    """Yield the string constants of a module that are not docstrings."""
    docstrings = {
        id(node.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    }
    for node in ast.walk(tree):
        is_text = isinstance(node, ast.Constant) and isinstance(node.value, str)
        if is_text and id(node) not in docstrings:
            yield node
