"""Each source module has a test module of its name, or one whose docstring names its path."""

from __future__ import annotations

import ast
import re
import tomllib
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("galwad", "telephony", "recording", "callerid", "config")
MIGRATIONS = ROOT / "galwad" / "migrations" / "versions"
"""One file for each revision of the database; `tests/galwad/desk/test_upgrade.py` runs them all."""
NOT_TESTED = {
    "telephony/b2bua/media_plane.py": "a Protocol, which has no code to run",
}
"""Modules without a test, each with the reason."""


def has_code(path):
    """Return whether a module has more than a docstring, imports and `__all__`."""

    def is_code(node):
        if isinstance(node, ast.Import | ast.ImportFrom):
            return False
        if isinstance(node, ast.Expr):
            return not isinstance(node.value, ast.Constant)
        return not (isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__")

    return any(is_code(node) for node in ast.parse(path.read_text(encoding="utf-8")).body)


def source_modules(root):
    """Return the paths of the modules below `root` that need a test."""
    files = sorted(path for package in PACKAGES for path in (root / package).rglob("*.py"))
    return [
        path.relative_to(root).as_posix()
        for path in files
        if path.parent != MIGRATIONS and (path.name != "__init__.py" or has_code(path))
    ]


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


def mirrored(module):
    """Return the path of the test module that mirrors a source module."""
    folder, _, name = module.rpartition("/")
    return f"tests/{folder}/test_{name}"


def untested(root):
    """Return the source modules that no test module mirrors and no docstring names."""
    tests = docstrings(root)
    named = set().union(*(paths_in(docstring) for docstring in tests.values()))
    return [
        module
        for module in source_modules(root)
        if mirrored(module) not in tests and module not in named
    ]


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


def test_each_module_is_mirrored_by_a_test_module_or_named_in_the_docstring_of_one():
    missing = [module for module in untested(ROOT) if module not in NOT_TESTED]
    hints = "\n".join(f"  {module}: make {mirrored(module)}" for module in missing)
    assert not missing, (
        "These modules have no test. Make the test module, or name the module by its path in the\n"
        f"docstring at the top of the test module that tests it:\n{hints}"
    )


def test_each_exception_is_a_module_that_needs_it():
    assert set(NOT_TESTED) <= set(untested(ROOT))


def test_no_docstring_of_a_test_module_names_a_path_that_does_not_exist():
    wrong = lost(ROOT)
    lines = "\n".join(f"  {test} names {path}" for test, path in wrong)
    assert not wrong, f"These paths do not exist (was a module moved?):\n{lines}"


def test_each_test_module_says_in_one_sentence_what_it_tests():
    """Lines of any file are at most 100 columns long; ruff checks that."""
    firsts = {test: text.partition("\n")[0] for test, text in docstrings(ROOT).items()}
    wrong = [test for test, first in firsts.items() if not first.endswith(".")]
    assert not wrong, f"The first line of these docstrings is not a whole sentence: {wrong}"


def test_each_test_module_in_the_folder_of_a_package_mirrors_a_module_or_names_one():
    mirrors = {mirrored(module) for module in source_modules(ROOT)}
    aimless = [
        test
        for test, docstring in docstrings(ROOT).items()
        if test.split("/")[1] in PACKAGES
        and test not in mirrors
        and not any(path.startswith(PACKAGES) for path in paths_in(docstring))
    ]
    assert not aimless, f"Name in their docstrings the modules that these test: {aimless}"


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


def test_a_module_that_no_test_mirrors_or_names_is_found(tree):
    root = tree(
        {
            "config/mirrored.py": "A = 1",
            "config/deep/named.py": "A = 1",
            "config/forgotten.py": "A = 1",
            "config/__init__.py": '"""A."""\n\nfrom config.named import A\n\n__all__ = ["A"]\n',
            "config/deep/__init__.py": "A = 1",
            "tests/config/test_mirrored.py": "",
            "tests/config/test_other.py": '"""Tests.\n\nCovers `config/deep/named.py`."""',
            "tests/test_forgotten.py": "# config/forgotten.py",
        }
    )
    assert untested(root) == ["config/deep/__init__.py", "config/forgotten.py"]


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
