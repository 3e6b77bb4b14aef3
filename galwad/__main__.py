"""The start of `python -m galwad`, which runs Galwad's command line."""

from __future__ import annotations

from galwad.cli.main import main

if __name__ == "__main__":
    main()
