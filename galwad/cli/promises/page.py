"""Makes the printable page of a check of the promises: one HTML file without scripts.

The page loads nothing from the network, prints on A4, and has its verdicts as words and not only as
colours.
"""

from __future__ import annotations

from html import escape
from typing import Final

from galwad.cli.promises.report import FindingText, PromiseText, ReportText
from galwad.texts import Texts

_STYLE: Final = """\
@page { size: A4; margin: 15mm }
:root { color-scheme: light }
body { font: 10pt/1.35 system-ui, sans-serif; color: #16202a; background: #fff;
  max-width: 180mm; margin: 8mm auto; padding: 0 4mm }
h1 { font-size: 17pt; line-height: 1.2; margin: 0 0 2mm }
table { border-collapse: collapse; width: 100%; margin: 5mm 0 }
th, td { border: 1px solid #5b6672; padding: 2mm 2.5mm; text-align: left; vertical-align: top }
thead th { background: #e8ecf0 }
tbody th { font-weight: normal; width: 22% }
q { font-style: italic }
tr { break-inside: avoid }
thead { display: table-header-group }
ul { margin: 0; padding: 0 0 0 4mm }
.evidence { width: 38% }
.verdict { font-weight: bold; width: 14% }
.kept { color: #0b5a2b }
.broken { color: #fff; background: #9b1c1c; print-color-adjust: exact }
.findings { overflow-wrap: anywhere }
.summary { font-size: 13pt; font-weight: bold }
"""


def page_of(report: ReportText, texts: Texts) -> str:
    """Return the page as an HTML document."""
    heads = "".join(
        f'<th scope="col">{escape(texts.text(f"promise.{name}"))}</th>'
        for name in ("notice", "checks", "evidence", "verdict")
    )
    rows = "\n".join(_row(line, texts) for line in report.lines)
    title = escape(report.title)
    return f"""\
<!DOCTYPE html>
<html lang="{texts.language}">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>{title}</title>
<style>
{_STYLE}</style>
</head>
<body>
<main>
<h1>{title}</h1>
<p>{escape(report.checked)}</p>
<p class="summary">{escape(report.summary)}</p>
<table>
<thead><tr>{heads}</tr></thead>
<tbody>
{rows}
</tbody>
</table>
<p>{escape(texts.text("promise.limits"))}</p>
</main>
</body>
</html>
"""


def _row(line: PromiseText, texts: Texts) -> str:
    evidence = "".join(f"<li>{escape(name)}: {escape(value)}</li>" for name, value in line.evidence)
    cells = [
        f'<th scope="row"><q>{escape(line.quote)}</q></th>',
        f"<td>{escape(line.checks)}</td>",
        f'<td class="evidence"><ul>{evidence}</ul></td>',
        f'<td class="verdict {escape(line.state)}">{escape(line.verdict)}</td>',
    ]
    rows = [f"<tr>{''.join(cells)}</tr>"]
    if line.findings:
        found = "".join(f"<li>{_finding(finding)}</li>" for finding in line.findings)
        head = escape(texts.text("promise.findings"))
        rows.append(
            f'<tr><th scope="row">{head}</th>'
            f'<td colspan="3" class="findings"><ul>{found}</ul></td></tr>'
        )
    return "\n".join(rows)


def _finding(finding: FindingText) -> str:
    """Return a finding as HTML. A screen reader reads its detail in English."""
    words = escape(finding.words)
    return f'{words}: <span lang="en">{escape(finding.detail)}</span>' if finding.detail else words
