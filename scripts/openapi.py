"""Write docs/openapi.json, the description of the HTTP API, from the endpoints in `galwad`.

    python scripts/openapi.py

Run it again after each change of an endpoint or of a body.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

from galwad.api.app import create_api

FILE: Final = Path(__file__).resolve().parent.parent / "docs" / "openapi.json"


def text() -> str:
    """Return the content of the file."""
    return json.dumps(create_api().openapi(), indent=1, ensure_ascii=False) + "\n"


def main() -> None:
    """Write the file."""
    FILE.write_text(text(), encoding="utf-8")
    print(f"wrote {FILE}")


if __name__ == "__main__":
    main()
