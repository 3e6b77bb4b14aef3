"""Each class name means one thing, and docstrings keep to docs/style.md."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("galwad", "telephony", "recording", "callerid", "config")
SHARED = {
    "CallEnded": "the event of telephony.b2bua, and the message about it to the desk",
    "DnsClient": "the same protocol, for the switch and for the phone, which share no module",
    "Gap": "a gap in the manifest, and in the HTTP API",
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


def test_two_public_classes_share_a_name_only_if_they_are_one_thing_from_two_sides():
    shared = {name: places for name, places in public_classes().items() if len(places) > 1}
    assert shared.keys() == SHARED.keys(), shared
    assert all(len(places) == 2 for places in shared.values()), shared
    assert len(SHARED) <= MOST_SHARED


def test_docstrings_and_comments_keep_to_the_style_guide():
    command = [sys.executable, str(ROOT / "scripts" / "prose.py"), "check"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.stdout.strip() == ""
    assert done.returncode == 0
