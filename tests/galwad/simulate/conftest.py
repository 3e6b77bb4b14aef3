"""The command line, run in this process."""

from helpers.cli_fixtures import log_apart, run, settings_file

__all__ = ["log_apart", "run", "settings_file"]
