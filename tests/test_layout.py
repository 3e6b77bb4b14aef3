"""The docstrings of test modules name only what exists, and mypy reads every program."""

from __future__ import annotations

import ast
import re
import tomllib
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("galwad", "telephony", "recording", "callerid", "config", "net")


@cache
def docstrings(root):
    """Return the docstring of each test module below `root`, empty if there is none."""
    files = sorted((root / "tests").rglob("test_*.py"))
    return {
        path.relative_to(root).as_posix(): ast.get_docstring(
            ast.parse(path.read_text(encoding="utf-8"))
        )
        or ""
        for path in files
    }


def paths_in(docstring):
    """Return the paths from the root of the repository that a docstring names."""
    folders = "|".join((*PACKAGES, "tests", "docs", "scripts", "benchmarks", "systemd"))
    return set(re.findall(rf"(?<![\w/])(?:{folders})/[\w./-]*\w", docstring))


def lost(root):
    """Return (test module, path) for each path that a docstring names and that does not exist."""
    found = {
        (test, path)
        for test, docstring in docstrings(root).items()
        for path in paths_in(docstring)
        if not (root / path).exists()
    }
    beside = {
        (test, name)
        for test, docstring in docstrings(root).items()
        for name in re.findall(r"(?<![\w/])test_\w+\.py", docstring)
        if not (root / test).with_name(name).exists()
    }
    return sorted(found | beside)


def test_no_docstring_of_a_test_module_names_a_path_that_does_not_exist():
    wrong = lost(ROOT)
    lines = "\n".join(f"  {test} names {path}" for test, path in wrong)
    assert not wrong, f"These paths do not exist (was a module moved?):\n{lines}"


def test_each_test_module_says_in_one_sentence_what_it_tests():
    """Lines of any file are at most 100 columns long; ruff checks that."""
    firsts = {test: text.partition("\n")[0] for test, text in docstrings(ROOT).items()}
    wrong = [test for test, first in firsts.items() if not first.endswith(".")]
    assert not wrong, f"The first line of these docstrings is not a whole sentence: {wrong}"


@pytest.fixture
def tree(tmp_path):
    """A function that writes files, given by path and text, below a folder, which it returns."""

    def tree(files):
        for name, text in files.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        return tmp_path

    return tree


def test_a_path_in_a_docstring_that_does_not_exist_is_found(tree):
    root = tree(
        {
            "docs/here.md": "",
            "tests/config/test_a.py": '"""See docs/here.md, `config/gone.py` and `test_b.py`."""',
        }
    )
    test = "tests/config/test_a.py"
    assert lost(root) == [(test, "config/gone.py"), (test, "test_b.py")]


def test_mypy_reads_each_module_of_the_benchmarks_and_scripts():
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    folders = (ROOT / "benchmarks", ROOT / "scripts")
    modules = sorted(path.stem for folder in folders for path in folder.glob("*.py"))
    assert sorted(settings["tool"]["mypy"]["modules"]) == modules
