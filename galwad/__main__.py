"""Start Galwad's command line for `python -m galwad`."""

from __future__ import annotations

from galwad.cli.main import main

if __name__ == "__main__":
    main()
