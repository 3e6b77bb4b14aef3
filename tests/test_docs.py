"""The links, commands, options, settings, files and endpoints that the documents name exist."""

from __future__ import annotations

import re
import shlex
import subprocess
import tomllib
from importlib.metadata import version
from pathlib import Path

import pytest
import typer.main

from galwad.api.app import create_api
from galwad.cli.main import SUMMARIES, app
from galwad.settings import Settings

ROOT = Path(__file__).resolve().parent.parent
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
TEXTS = {path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8") for path in DOCUMENTS}
PACKAGES = ("galwad", "telephony", "recording", "callerid", "config", "net")
EXAMPLE = (ROOT / "config/example.toml").read_text(encoding="utf-8")

GUIDE = [name for name in TEXTS if name.startswith("docs/operations/")]


def prose(text):
    """A document without its blocks of code."""
    return re.sub(r"^```.*?^```$", "", text, flags=re.DOTALL | re.MULTILINE)


def blocks(text):
    """The lines of its blocks of code, continued lines joined."""
    found = re.findall(r"^```\n(.*?)^```$", text, flags=re.DOTALL | re.MULTILINE)
    return "".join(found).replace("\\\n", " ").splitlines()


def anchors(text):
    """The anchors that GitHub makes of headings."""
    headings = re.findall(r"^#+ (.+)$", prose(text), flags=re.MULTILINE)
    return {re.sub(r"[^\w -]", "", h.lower()).replace(" ", "-") for h in headings}


def links(text):
    """Targets of links and pictures."""
    return re.findall(r"\]\(([^)\s]+)\)", prose(text))


def commands(text):
    """Each quoted use of the command, as words."""
    spans = [span.replace("\n", " ") for span in re.findall(r"`(galwad [^`]+)`", prose(text))]
    lines = [line.removeprefix("$ ").removeprefix("/opt/galwad/bin/") for line in blocks(text)]
    for line in [*spans, *lines]:
        if re.match(r"galwad [a-z]", line) and not line.endswith(" v1"):  # signatures' contexts
            yield shlex.split(line, comments=True)[1:]


def unknown_words(words):
    """The first command or option that does not exist; empty when all do."""
    command = typer.main.get_command(app)
    words = list(words)
    while words and hasattr(command, "get_command"):
        command = command.get_command(None, words[0])
        if command is None:
            return words[0]
        words.pop(0)
    known = {option for parameter in command.params for option in parameter.opts} | {"--help"}
    options = [word.partition("=")[0] for word in words if re.match(r"--?[a-z]", word)]
    return next((option for option in options if option not in known), "")


def test_every_internal_link_has_an_existing_target():
    for name, text in TEXTS.items():
        for link in links(text):
            if re.match(r"https?:", link):
                continue
            path, _, anchor = link.partition("#")
            target = (ROOT / name).parent / path if path else ROOT / name
            assert target.exists(), f"{name}: {link}"
            if anchor:
                assert anchor in anchors(target.read_text(encoding="utf-8")), f"{name}: {link}"


def test_the_guides_index_has_one_line_for_each_page():
    index = re.findall(r"^- \[.+?\]\((\S+)\): \S", TEXTS["docs/operations/README.md"], re.MULTILINE)
    pages = {Path(name).name for name in GUIDE} - {"README.md"}
    assert len(pages) > 10
    assert sorted(index) == sorted(pages)


def test_the_readme_links_every_decision():
    decisions = [name for name in TEXTS if name.startswith("docs/decisions/")]
    assert [name for name in links(TEXTS["README.md"]) if name in decisions] == decisions


def test_every_document_that_the_code_names_exists():
    sources = [path for name in PACKAGES for path in ROOT.glob(f"{name}/**/*.py")]
    named = {
        found
        for path in sources
        for found in re.findall(r"docs/[\w./-]+\.md", path.read_text(encoding="utf-8"))
    }
    assert "docs/operations/disks.md" in named
    assert [found for found in named if not (ROOT / found).exists()] == []


def test_every_command_that_is_quoted_exists_with_its_options():
    for name, text in TEXTS.items():
        for words in commands(text):
            assert unknown_words(words) == "", f"{name}: galwad {' '.join(words)}"


def test_the_check_of_commands_finds_unknown_commands_and_options():
    assert unknown_words(["recordings", "burn"]) == "burn"
    assert unknown_words(["recordings", "fetch", "--loud"]) == "--loud"
    assert len(list(commands(TEXTS["README.md"]))) > 10


def test_the_readme_shows_every_group_of_the_command_line():
    for noun in SUMMARIES:
        assert re.search(rf"galwad {noun}\b", TEXTS["README.md"]), noun


def test_the_readme_has_the_command_that_links_galwad_into_usr_local_bin():
    lines = blocks(TEXTS["README.md"])
    assert "ln -sf /opt/galwad/bin/galwad /usr/local/bin/galwad" in lines


@pytest.mark.peer
def test_the_backup_commands_of_the_documents_copy_an_archive_to_an_empty_host(tmp_path):
    archive, host = tmp_path / "archive", tmp_path / "backup-host"
    day = archive / "2026/11/25"
    day.mkdir(parents=True)
    kept = {"a.payload", "a.raw", "a.manifest", "b.disposal"}
    for name in [*kept, "a.header", "a.rewrap", ".c.payload.new"]:
        (day / name).write_text(name)
    host.mkdir()
    lines = [line for name in GUIDE for line in blocks(TEXTS[name])]
    commands = [line for line in lines if line.startswith("rsync ")]
    for command in commands:
        words = command.replace("/var/lib/private/galwad/archive/", f"{archive}/")
        words = words.replace("backup-host:", f"{host}")
        subprocess.run(shlex.split(words), check=True)
    assert names(host / "srv/galwad/archive") == kept
    assert names(host / "srv/galwad/headers") == {"a.header", "a.rewrap"}


def names(folder):
    return {path.name for path in folder.rglob("*") if path.is_file()}


def test_every_setting_that_is_named_exists():
    for name in ["README.md", "CHANGELOG.md", *GUIDE]:
        for table, more in re.findall(
            r"`\[?\[([a-z]+)\]\]? ?([a-z_]*(?:`, `[a-z_]+)*)`", TEXTS[name]
        ):
            assert table in Settings.model_fields, f"{name}: [{table}]"
            for key in more.split("`, `") if more else ():
                assert re.search(rf"^(# )?{key} = ", EXAMPLE, re.MULTILINE), f"{name}: {key}"


def test_the_example_shows_every_table():
    commented = re.findall(r"^# \[\[?([a-z_]+)", EXAMPLE, re.MULTILINE)
    assert set(Settings.model_fields) == tomllib.loads(EXAMPLE).keys() | set(commented)


def test_every_file_that_is_named_by_its_path_exists():
    folders = "galwad|telephony|recording|callerid|config|net|systemd|scripts|docs|tests|benchmarks"
    for name, text in TEXTS.items():
        for path in re.findall(rf"`((?:{folders})/[\w./-]*)`", prose(text)):
            assert (ROOT / path).exists(), f"{name}: {path}"


def test_the_api_document_has_a_row_for_every_endpoint():
    rows = re.findall(r"^\| ([A-Z, ]+) (`/.*?`) \|", TEXTS["docs/http-api.md"], re.MULTILINE)
    documented = {
        (method.lower(), path)
        for methods, paths in rows
        for method in methods.split(", ")
        for path in re.findall(r"`(.+?)`", paths)
    }
    served = {
        (method, re.sub(r"{\w+_id}", "{id}", path.removeprefix("/api/v1")))
        for path, methods in create_api().openapi()["paths"].items()
        for method in methods
    }
    assert len(served) > 90
    assert documented == served


def test_no_document_names_a_path_of_somebodys_machine():
    for name, text in TEXTS.items():
        assert not re.search(r"/(work|root|home|tmp)/", text), name


def test_the_changelog_names_this_version():
    assert version("galwad") in TEXTS["CHANGELOG.md"]


def test_the_architecture_document_has_at_most_60_lines():
    assert len(TEXTS["ARCHITECTURE.md"].splitlines()) <= 60
