"""The module that `python -m galwad` runs. The module starts Galwad's command line."""

from __future__ import annotations

from galwad.cli.main import main

if __name__ == "__main__":
    main()
