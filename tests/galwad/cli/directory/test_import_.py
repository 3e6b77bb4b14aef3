"""`galwad directory import`: all people of a file, or none."""

from __future__ import annotations

PEOPLE = """\
reference,name,numbers,language,shared
P1,Mair Evans,01970 000001,cy,no
P2,Owen Evans,01970 000001,en,yes
"""


def test_an_import_with_one_invalid_person_is_refused(run, settings_file, tmp_path):
    file = tmp_path / "people.csv"
    file.write_text(PEOPLE)
    done = run("directory", "import", file, "--config", settings_file, "--json")
    assert done.json() == {"added": 2, "replaced": 0, "removed": 0}
    file.write_text(PEOPLE + "P3,,nonsense,xx,no\n")
    refused = run("directory", "import", file, "--config", settings_file)
    assert refused.status == 1
    assert "error: people.csv:4: numbers:" in refused.err
