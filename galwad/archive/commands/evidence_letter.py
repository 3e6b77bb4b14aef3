"""The files of an evidence pack: the letter as HTML and PDF, the instructions, and the proof.

The letter says what the pack has, which parts are silenced, and when and why the call was not
recorded. WeasyPrint makes the PDF from the HTML, with the tags that screen readers need (PDF/UA).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from html import escape
from importlib import import_module
from importlib.resources import files
from typing import Any, Final

from galwad.archive.commands.recordings_show import explanation_lines
from galwad.cli.support.console import CliError, centre_time, clock
from galwad.cli.support.page_texts import Texts, html_page
from recording.archive.redaction import RedactionNote, Silence

_US: Final = 1_000_000
_PDF: Final = "pdf/ua-1"
_HINT: Final = (
    "pip install 'galwad[evidence]'; on Debian also: apt-get install libpangoft2-1.0-0 "
    "libharfbuzz-subset0 fonts-dejavu-core"
)
STYLE: Final = """\
@page { size: A4; margin: 20mm }
:root { color-scheme: light }
body { font: 11pt/1.4 system-ui, sans-serif; color: #16202a; background: #fff; max-width: 170mm;
  margin: 8mm auto; padding: 0 4mm }
@media print { body { margin: 0; padding: 0 } }
h1 { font-size: 17pt; line-height: 1.2 }
h2 { font-size: 13pt; margin-top: 7mm }
h3 { font-size: 11pt; margin-top: 5mm }
h2, h3 { break-after: avoid }
table { border-collapse: collapse; width: 100% }
th, td { border: 1px solid #5b6672; padding: 1.5mm 2.5mm; text-align: left; vertical-align: top }
th { background: #e8ecf0; width: 30%; font-weight: normal }
li { margin-bottom: 1.5mm }
code, .long { overflow-wrap: anywhere }
.long { white-space: pre-line }
"""
_PLACEHOLDER: Final = re.compile(r"\{\{(\w+)\}\}")


@dataclass(frozen=True, slots=True)
class Pack:
    """The facts and files from which an evidence pack is made."""

    detail: dict[str, Any]
    """The server's answer about the recording: `RecordingDetail` of `galwad.archive.routes`."""
    explanation: dict[str, Any]
    """The answer of the server about the gaps: `GapExplanation` of `galwad.archive.gaps`."""
    note: RedactionNote
    flac: bytes
    node_key: str
    officer_key: str


class LetterTexts(Texts):
    """The texts of letters. Those about gaps are for people outside the council."""

    def text(self, key: str, **values: str | int) -> str:
        """Return the text `evidence.KEY` if there is one, otherwise the text of the page."""
        outside = f"evidence.{key}"
        return super().text(outside if outside in self else key, **values)


def check_library() -> None:
    """Raise a `CliError` if the library that makes the PDF cannot be used."""
    try:
        import_module("weasyprint")
    except (ImportError, OSError):
        raise CliError("the library WeasyPrint, which makes the PDF, is missing", _HINT) from None


def files_of(pack: Pack, texts: Texts) -> dict[str, bytes]:
    """Return the data files of an evidence pack by name, without the redaction note."""
    page = letter(pack, texts)
    links = (json.dumps(each, ensure_ascii=False) + "\n" for each in pack.explanation["entries"])
    return {
        "letter.html": page.encode(),
        "letter.pdf": pdf_of(page),
        "verify.txt": _instructions(pack, texts).encode(),
        f"{pack.note.call_id}.flac": pack.flac,
        f"{pack.note.call_id}.manifest": pack.detail["manifest"].encode(),
        "audit.jsonl": "".join(links).encode(),
        "node.pub": f"{pack.node_key}\n".encode(),
        "officer.pub": f"{pack.officer_key}\n".encode(),
    }


def pdf_of(page: str) -> bytes:
    """Return an HTML page as a tagged PDF. The page can load nothing but this machine's fonts."""
    document = import_module("weasyprint").HTML(string=page, url_fetcher=_refuse)
    content: bytes = document.write_pdf(pdf_variant=_PDF)
    return content


def _refuse(url: str, *_: Any, **__: Any) -> Any:
    raise ValueError(f"the letter must not load {url}")


def letter(pack: Pack, texts: Texts) -> str:
    """Return the letter as an HTML document, which loads nothing."""
    title = texts.text("evidence.title")
    sections = "\n".join(
        f"<h2>{escape(texts.text(f'evidence.{name}.title'))}</h2>\n{body}"
        for name, body in _sections(pack, texts)
    )
    content = f"""\
{html_table(_facts(pack, texts))}
<p>{escape(texts.text("evidence.private"))}</p>
{sections}
"""
    return html_page(texts.language, title, STYLE, content)


def _facts(pack: Pack, texts: Texts) -> Iterator[tuple[str, str]]:
    """Yield the rows of the letter's first table: a name and a value."""
    row, note = pack.detail["recording"], pack.note
    started = centre_time(pack.explanation["started"])
    values = {
        "to": note.recipient,
        "purpose": texts.text(f"recordings.purpose.{note.purpose}"),
        "reference": note.reference,
        "made": note.made.replace("T", " ").replace("Z", " UTC"),
        "call": pack.note.call_id,
        "answered": f"{started:%Y-%m-%d %H:%M:%S %Z}",
        "length": texts.duration(pack.explanation["talk_us"]),
        "line": row["line"],
        "verdict": texts.text(f"evidence.verdict.{'whole' if note.verdict == 'whole' else 'not'}"),
        "interrupted": texts.text("evidence.interrupted") if row["interrupted"] else "",
        "raw": texts.text("evidence.raw") if row.get("raw_size") else "",
    }
    for name, value in values.items():
        if value:
            yield texts.text(f"evidence.fact.{name}"), value


def _sections(pack: Pack, texts: Texts) -> Iterator[tuple[str, str]]:
    """Yield the sections: the name of the title's text, and the HTML below the title."""
    yield "silenced", _silenced(pack.note, texts)
    yield "gaps", html_list(explanation_lines(pack.explanation, LetterTexts(texts.language))[1:])
    received = {
        "letter": "letter.html, letter.pdf",
        "audio": f"{pack.note.call_id}.flac",
        "note": f"{pack.note.call_id}.redaction-note, officer.pub",
        "manifest": f"{pack.note.call_id}.manifest, node.pub",
        "audit": "audit.jsonl",
        "verify": "verify.txt",
        "bag": "bagit.txt, bag-info.txt, manifest-sha256.txt, tagmanifest-sha256.txt",
    }
    rows = ((texts.text(f"evidence.file.{name}"), each) for name, each in received.items())
    yield "files", html_table(rows)
    keys = {"officer": pack.officer_key, "node": pack.node_key}
    checks = html_table((texts.text(f"evidence.key.{name}"), key) for name, key in keys.items())
    yield "check", f"<p>{escape(texts.text('evidence.check'))}</p>\n{checks}"


def _silenced(note: RedactionNote, texts: Texts) -> str:
    if not note.silenced:
        return f"<p>{escape(texts.text('evidence.silenced.none'))}</p>"
    reason = escape(texts.text("evidence.silenced.reason", reason=note.reason.rstrip(".")))
    return f"{html_list(silenced_parts(note, texts))}\n<p>{reason}</p>"


def silenced_parts(note: RedactionNote, texts: Texts) -> list[str]:
    """Return a sentence about each part that is silenced in a copy."""
    return [_stretch(each, texts) for each in note.silenced]


def _stretch(silence: Silence, texts: Texts) -> str:
    times = {"begin": _position(silence.from_us), "end": _position(silence.to_us)}
    return texts.text(f"evidence.silenced.{silence.party}", **times)


def _position(us: int) -> str:
    """Return a position in the call, such as 1:20, with thousandths if it has any."""
    seconds, rest = divmod(us // 1000, 1000)
    return clock(seconds) + (f".{rest:03}".rstrip("0") if rest else "")


def html_list(lines: Sequence[str]) -> str:
    """Return lines of text as a list in HTML."""
    return "<ul>\n" + "".join(f"<li>{escape(line)}</li>\n" for line in lines) + "</ul>"


def html_table(rows: Iterable[tuple[str, str]]) -> str:
    """Return pairs of a name and a value as a table in HTML."""
    cells = "".join(
        f'<tr><th scope="row">{escape(name)}</th><td class="long">{escape(value)}</td></tr>\n'
        for name, value in rows
    )
    return f"<table>\n{cells}</table>"


def _instructions(pack: Pack, texts: Texts) -> str:
    """Return the commands of evidence_verify.txt, with this call's id and texts in one language."""
    commands = files("galwad.archive.commands").joinpath("evidence_verify.txt")
    return filled(commands.read_text(encoding="utf-8"), texts).replace("{{id}}", pack.note.call_id)


def filled(commands: str, texts: Texts) -> str:
    """Put the texts `evidence.verify.NAME` into the placeholders {{NAME}} of verify.txt."""
    return _PLACEHOLDER.sub(
        lambda found: found[0] if found[1] == "id" else texts.text(f"evidence.verify.{found[1]}"),
        commands,
    )
