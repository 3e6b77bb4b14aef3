"""The command `python -m galwad`, which runs the command line."""

from __future__ import annotations

from galwad.cli.main import main

if __name__ == "__main__":
    main()
