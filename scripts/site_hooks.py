"""Hooks for MkDocs: add the root documents to the site, and adapt links that leave docs/.

README.md becomes the start page; the other documents at the repository's root become pages beside
it. A link to a file that is not a page (a setting's example, a script) becomes the file's name in
code type, because the site does not contain it.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parent.parent
PAGES = {
    "README.md": "index.md",
    "ARCHITECTURE.md": "architecture.md",
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "security-policy.md",
    "CHANGELOG.md": "changelog.md",
}
"""Each document at the root, with its page's path under docs/."""

_LINK = re.compile(r"(!?)\[([^\]]*)\]\(([^)\s#]*)(#[^)\s]*)?\)")
_CODE_BLOCK = re.compile(r"(^```.*?^```$)", re.DOTALL | re.MULTILINE)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add a page for each document at the repository's root."""
    for source, page in PAGES.items():
        content = (ROOT / source).read_text(encoding="utf-8")
        files.append(File.generated(config, page, content=content))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Adapt the links of a page; code blocks stay as they are."""
    del config
    source = _source_of(page.file.src_uri)

    def adapt(match: re.Match[str]) -> str:
        image, text, target, anchor = match.groups()
        if not target or "://" in target or target.startswith("mailto:"):
            return match.group()
        path = posixpath.normpath(posixpath.join(posixpath.dirname(source), target))
        wanted = _page_of(path)
        if files.get_file_from_path(wanted) is None:
            return f"`{text.strip('`')}`"
        relative = posixpath.relpath(wanted, posixpath.dirname(page.file.src_uri) or ".")
        return f"{image}[{text}]({relative}{anchor or ''})"

    parts = _CODE_BLOCK.split(markdown)
    return "".join(part if n % 2 else _LINK.sub(adapt, part) for n, part in enumerate(parts))


def _source_of(page: str) -> str:
    """Return the path of a page's document, relative to the repository's root."""
    return next((root for root, name in PAGES.items() if name == page), f"docs/{page}")


def _page_of(path: str) -> str:
    """Return the page under docs/ for a path relative to the repository's root."""
    return PAGES.get(path, path.removeprefix("docs/") if path.startswith("docs/") else f"../{path}")
