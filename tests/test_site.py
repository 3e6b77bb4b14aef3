"""The documentation site: it builds without a warning, has every document, and loads nothing."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The folder of the built site."""
    folder = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", folder],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
    )
    assert done.returncode == 0, done.stderr
    return folder


def test_each_document_is_a_page(site):
    pages = {path.parent.relative_to(site).as_posix() for path in site.rglob("index.html")}
    documents = {
        path.relative_to(ROOT / "docs").with_suffix("").as_posix().removesuffix("/README")
        for path in (ROOT / "docs").rglob("*.md")
    }
    assert documents <= pages
    assert {".", "architecture", "contributing", "security-policy", "changelog"} <= pages


def test_no_page_loads_anything_from_another_host(site):
    loads = re.compile(r"""<(?:script|link|img|iframe)[^>]+(?:src|href)=["']?(https?:[^"' >]+)""")
    for page in site.rglob("*.html"):
        found = [url for url in loads.findall(page.read_text()) if "canonical" not in url]
        assert found == [], page.relative_to(site)
