"""Command groups with a line of help for each command, whose modules load when they are used."""

from __future__ import annotations

import importlib
import keyword
from collections.abc import Mapping
from typing import Any, ClassVar

import typer
from typer.core import TyperGroup


class LazyGroup(TyperGroup):
    """A group of commands, each in a module of the Python package `package`, or all in one module.

    The module of a command has the same name as the command. If the name is a keyword of Python,
    the module's name has an underscore at the end: the module of the command `import` is `import_`.
    The name of a module has an underscore in the place of each hyphen.
    Each module has a Typer app named `app`. Each subclass sets `summaries`, and `package` or
    `source`. A group within this group belongs to the group's own Typer app.
    """

    package: ClassVar[str] = ""
    source: ClassVar[str] = ""
    """The module that has all commands, and the name of their Typer app, such as "a.b:app"."""
    subjects: ClassVar[Mapping[str, str]] = {}
    """The modules of those commands that are not in `package`, by the names of the commands."""
    summaries: ClassVar[Mapping[str, str]]
    """For the name of each command, the line that the group's help shows.

    The help has the commands in this order. It shows these lines in place of the commands' own
    texts, because these are in the commands' modules, which take a second to load.
    """

    def list_commands(self, ctx: Any) -> list[str]:
        """Return the names of the commands in the group, for the help."""
        del ctx
        return list(self.summaries)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Load the module of the command `cmd_name` and return the command.

        Return None if the group has no such command.
        """
        del ctx
        if cmd_name not in self.summaries:
            return None
        if cmd_name in self.commands:
            return self.commands[cmd_name]
        if self.source:
            module, _, app = self.source.partition(":")
            group = typer.main.get_group(getattr(importlib.import_module(module), app))
            return group.commands[cmd_name]
        module = cmd_name.replace("-", "_") + ("_" if keyword.iskeyword(cmd_name) else "")
        path = self.subjects.get(cmd_name) or f"{self.package}.{module}"
        command = typer.main.get_command(importlib.import_module(path).app)
        command.name = cmd_name
        return command

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write the list of the commands to the help, without loading their modules."""
        del ctx
        with formatter.section("Commands"):
            formatter.write_dl(list(self.summaries.items()))


def new_group(commands: type[LazyGroup]) -> typer.Typer:
    """Return a new Typer app for the group of commands that the class `commands` describes.

    The module that calls this function adds a function to the app with `app.callback`. The
    docstring of the added function is the group's help text.
    """
    return typer.Typer(
        cls=commands, rich_markup_mode=None, add_completion=False, no_args_is_help=True
    )


def new_command() -> typer.Typer:
    """Return a new Typer app for a module that has one command."""
    return typer.Typer(rich_markup_mode=None, add_completion=False)
