"""Makes the pack of a case: copies of the person's calls, their contact notes, and a letter.

The pack is a BagIt folder in a tar archive, encrypted as an age file, as an evidence pack of one
recording is. The officer signs a list of all its files. No sound is written to the disk that is not
encrypted. The pack is complete before the server enters it in the audit and in the case, and the
file gets its name only after that.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import time
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from html import escape
from importlib.resources import files
from typing import Any, Final

from callerid.errors import NumberError
from callerid.number import PhoneNumber
from galwad.archive.commands.evidence_letter import (
    STYLE,
    LetterTexts,
    Pack,
    filled,
    html_list,
    html_table,
    pdf_of,
    silenced_parts,
)
from galwad.archive.commands.evidence_pack import (
    Officer,
    PackOptions,
    PackRequest,
    bag_in,
    copied,
    new_key,
)
from galwad.archive.commands.recordings_show import explanation_lines
from galwad.cases.commands.register import NOTE_IN_COPY, calls_of
from galwad.cli.support.archive_client import FetchPurpose
from galwad.cli.support.client import ask
from galwad.cli.support.console import CliError, centre_time, progress_bar
from galwad.cli.support.page_texts import html_page
from recording.archive.redaction import REDACTION_NOTE
from recording.call_id import is_call_id
from recording.keys.signed_document import Document, DocumentType

_PURPOSE: Final = "legal-disclosure"
"""The law obliges the council to answer."""
_FORMAT: Final = "galwad-case-pack-1"
_US: Final = 1_000_000


class CasePackList(Document, frozen=True):
    """An officer's statement about a pack: whom it is for, and the SHA-256 of each other file."""

    made: str
    """The time in ISO 8601, UTC."""
    reference: str
    recipient: str
    files: dict[str, str]


CASE_PACK: Final = DocumentType("case-pack", _FORMAT, CasePackList, "officer")


@dataclass(frozen=True, slots=True)
class CasePackRequest:
    """A pack of a case. The contact notes of the calls `without_notes` are left out."""

    case: int
    options: PackOptions
    without_notes: frozenset[str]


@dataclass(frozen=True, slots=True)
class _CopiedCall:
    """A call of the pack.

    If there is a copy, `lines` explain the gaps of the recording, `silenced` has the silenced parts
    with their reason, and `whole` says whether the recording is whole.
    """

    call: dict[str, Any]
    lines: Sequence[str] = ()
    silenced: Sequence[str] = ()
    whole: bool = True


def make(
    request: CasePackRequest, officer: Officer, file: io.BufferedRandom, server: str
) -> dict[str, Any]:
    """Write the pack of a case to an empty file, and have it entered in the audit and the case.

    Return the facts about it: those of `CasePack` in `galwad.cases.routes`, and the number of the
    audit entry. Raises `CliError`.
    """
    detail = ask(server, "GET", f"/cases/{request.case}")
    if detail["case"]["state"] == "closed":
        raise CliError("the case is closed", "withdraw the step that closed it: galwad cases undo")
    texts = LetterTexts(detail["case"]["language"])
    calls = [each for each in calls_of(server, request.case) if not each["excluded"]]
    if not calls:
        raise CliError(
            "the case has no calls, or all are excluded", "search for them: galwad cases search"
        )
    silences = _Silences.of(request, calls)
    calls = [_noted(each, request.without_notes) for each in calls]
    where = _searches(detail["searches"], texts) + _excluded(detail, texts)
    key, name = new_key(request.options.recipient), f"case-{request.case}"
    reference, copies, silent = detail["case"]["reference"], 0, 0
    digests: dict[str, str] = {}
    with (
        bag_in(file.fileno(), key, name, reference) as bag,
        progress_bar("calls", quiet=False) as progress,
    ):

        def add(path: str, octets: bytes) -> None:
            digests[path] = hashlib.sha256(octets).hexdigest()
            bag.add(path, octets)

        shown: list[_CopiedCall] = []
        for call in progress.track(calls):
            if call["recording"] != "recorded":
                shown.append(_CopiedCall(call))
                continue
            copy = silences.request(request, call["call_id"], reference)
            pack = copied(copy, officer, server)
            for path, octets in _files_of(pack, officer):
                add(path, octets)
            shown.append(
                _CopiedCall(
                    call,
                    explanation_lines(pack.explanation, texts)[1:],
                    _silenced(pack, texts),
                    pack.note.verdict == "whole",
                )
            )
            copies, silent = copies + 1, silent + len(pack.note.silenced)
        page = _letter(
            detail["case"], shown, where, (request.options.name, officer.keys.public_key), texts
        )
        add("letter.html", page.encode())
        add("letter.pdf", pdf_of(page))
        add("calls.json", _data(calls))
        add("officer.pub", f"{officer.keys.public_key}\n".encode())
        add("verify.txt", _instructions(texts))
        made = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        signed = CasePackList(_FORMAT, made, reference, request.options.name, digests)
        bag.add("pack.signed", CASE_PACK.sign(signed, officer.keys.signing))
    facts = {
        "version": detail["case"]["version"],
        "recipient": request.options.name,
        "sha256": hashlib.file_digest(file, "sha256").hexdigest(),
        "size": os.fstat(file.fileno()).st_size,
        "calls": copies,
        "silenced": silent,
    }
    return {**facts, **ask(server, "POST", f"/cases/{request.case}/packs", facts)}


@dataclass(frozen=True, slots=True)
class _Silences:
    """The parts to silence in every call, and those of single calls, as they were typed."""

    every: Sequence[str]
    own: dict[str, list[str]]

    @classmethod
    def of(cls, request: CasePackRequest, calls: Sequence[dict[str, Any]]) -> _Silences:
        """Sort the options --silence by the call that they name. Raises `CliError`."""
        request.options.check_reason()
        known = {each["call_id"] for each in calls}
        every: list[str] = []
        own: dict[str, list[str]] = {}
        for text in request.options.silence:
            call_id, colon, part = text.partition(":")
            if not colon or not is_call_id(call_id.strip()):
                every.append(text)
            elif call_id.strip() not in known:
                raise CliError(
                    f'--silence "{text}" names a call that is not in the pack',
                    f"`galwad cases calls {request.case}` lists the calls",
                    status=2,
                )
            else:
                own.setdefault(call_id.strip(), []).append(part.strip())
        return cls(every, own)

    def request(self, of_case: CasePackRequest, call_id: str, reference: str) -> PackRequest:
        """Return the request for the copy of one call."""
        silence = [*self.every, *self.own.get(call_id, ())]
        why = of_case.options.why if silence else ""
        options = replace(of_case.options, silence=silence, why=why)
        return PackRequest(call_id, FetchPurpose(_PURPOSE, reference, case=of_case.case), options)


def _files_of(pack: Pack, officer: Officer) -> Iterator[tuple[str, bytes]]:
    """Yield the files about one recording: its copy, and what proves it."""
    call_id = pack.note.call_id
    links = (json.dumps(each, ensure_ascii=False) + "\n" for each in pack.explanation["entries"])
    yield f"{call_id}.flac", pack.flac
    yield f"{call_id}.manifest", pack.detail["manifest"].encode()
    yield f"{call_id}.redaction-note", REDACTION_NOTE.sign(pack.note, officer.keys.signing)
    yield f"{call_id}.node.pub", f"{pack.node_key}\n".encode()
    yield f"{call_id}.audit.jsonl", "".join(links).encode()


def _data(calls: Sequence[dict[str, Any]]) -> bytes:
    """Return the facts about the calls, for programs."""
    names = ("call_id", "started", "line", "talk_s", "recording", "note")
    rows: list[dict[str, Any]] = [{name: each[name] for name in names} for each in calls]
    for row in rows:
        row["note"] = row["note"] and {name: row["note"][name] for name in NOTE_IN_COPY}
    return json.dumps({"calls": rows}, ensure_ascii=False, indent=2).encode()


def _noted(call: dict[str, Any], without_notes: Collection[str]) -> dict[str, Any]:
    """Return a call, without its contact note if this is to be left out."""
    if call["call_id"] not in without_notes:
        return call
    return {**call, "note": None, "without_note": call["note"] is not None}


def _letter(
    case: dict[str, Any],
    shown: Sequence[_CopiedCall],
    where: str,
    ends: tuple[str, str],
    texts: LetterTexts,
) -> str:
    """Return the letter as an HTML document, which loads nothing.

    `where` is the HTML about the searches, and `ends` the recipient and the officer's public key.
    """
    name, officer_key = ends
    facts = {
        "to": name,
        "about": case["name"],
        "reference": case["reference"],
        "received": case["received"],
        "asked": case["details"],
        "calls": str(len(shown)),
        "copies": str(sum(each.call["recording"] == "recorded" for each in shown)),
    }
    rows = ((texts.text(f"evidence.case.{key}"), value) for key, value in facts.items() if value)
    sections = [
        ("search", where),
        ("calls.title", "\n".join(_call(each, texts) for each in shown)),
        ("rights.title", f"<p>{escape(texts.text('evidence.case.rights'))}</p>"),
        (
            "check",
            f"<p>{escape(texts.text('evidence.case.verify'))}</p>\n"
            + html_table([(texts.text("evidence.key.officer"), officer_key)]),
        ),
    ]
    body = "\n".join(
        f"<h2>{escape(texts.text(f'evidence.case.{key}'))}</h2>\n{content}"
        for key, content in sections
    )
    private = escape(texts.text("evidence.case.private"))
    content = f"{html_table(rows)}\n<p>{private}</p>\n{body}\n"
    return html_page(texts.language, texts.text("evidence.case.title"), STYLE, content)


def _searches(searches: Sequence[dict[str, Any]], texts: LetterTexts) -> str:
    lines = dict.fromkeys(
        texts.text(
            "evidence.case.place.failed" if place["failed"] else "evidence.case.place.found",
            place=_place(place["place"], texts),
            spelling=_spelling(place["spelling"]),
            found=place["found"],
        )
        for search in searches
        for place in search["places"]
    )
    return html_list(list(lines))


def _place(place: str, texts: LetterTexts) -> str:
    """Return the name of a place that was searched; that of a directory has the directory's."""
    kind, colon, directory = place.partition(": ")
    if kind == "directory" and colon:
        return texts.text("evidence.case.place.directory", directory=directory)
    return texts.text(f"evidence.case.place.{place}")


def _spelling(text: str) -> str:
    """Return a number as people write it, and any other text as it is."""
    try:
        return PhoneNumber.parse(text).display if text.startswith("+") else text
    except NumberError:
        return text


def _excluded(detail: dict[str, Any], texts: LetterTexts) -> str:
    """Say how many calls are left out. The officer's reasons may name other people."""
    if not detail["excluded"]:
        return ""
    return f"<p>{escape(texts.text('evidence.case.excluded', count=detail['excluded']))}</p>"


def _call(each: _CopiedCall, texts: LetterTexts) -> str:
    call = each.call
    title = f"{centre_time(call['started']):%Y-%m-%d %H:%M %Z} · {call['line']}".rstrip(" ·")
    state = texts.text(f"evidence.case.recording.{call['recording'] or 'none'}")
    file = f"{call['call_id']}.flac" if call["recording"] == "recorded" else state
    rows = [(texts.text("evidence.case.file"), file)]
    if call["talk_s"]:
        length = texts.duration(round(call["talk_s"] * _US))
        rows.append((texts.text("evidence.fact.length"), length))
    if not each.whole:
        rows.append((texts.text("evidence.fact.verdict"), texts.text("evidence.verdict.not")))
    if call.get("without_note"):
        left_out = texts.text("evidence.case.note.left_out")
        rows.append((texts.text("evidence.case.note.notes"), left_out))
    note = call["note"] or {}
    rows += [
        (texts.text(f"evidence.case.note.{name}"), note[name])
        for name in NOTE_IN_COPY
        if note.get(name)
    ]
    if each.silenced:
        rows.append((texts.text("evidence.silenced.title"), "\n".join(each.silenced)))
    gaps = html_list(each.lines) if each.lines else ""
    return f"<h3>{escape(title)}</h3>\n{html_table(rows)}\n{gaps}"


def _silenced(pack: Pack, texts: LetterTexts) -> list[str]:
    parts = silenced_parts(pack.note, texts)
    reason = texts.text("evidence.silenced.reason", reason=pack.note.reason.rstrip("."))
    return [*parts, reason] if parts else []


def _instructions(texts: LetterTexts) -> bytes:
    commands = (
        files("galwad.cases.commands").joinpath("pack_verify.txt").read_text(encoding="utf-8")
    )
    return filled(commands, texts).encode()
