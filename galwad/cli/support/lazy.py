"""Command groups whose commands are modules, each loaded only when it is used."""

from __future__ import annotations

import importlib
import keyword
from typing import Any, ClassVar

import typer
from typer.core import TyperGroup


class LazyGroup(TyperGroup):
    """A group of commands; a subclass names the package and the commands in it.

    The module of a command has the command's name (with an underscore if that is a keyword of
    Python, such as `import_`) and holds a Typer app called `app`.
    """

    package: ClassVar[str]
    names: ClassVar[tuple[str, ...]]
    """The commands, in the order in which the help lists them."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Return the names of the commands."""
        del ctx
        return list(self.names)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Load the module of a command; return None if there is no such command."""
        del ctx
        if cmd_name not in self.names:
            return None
        module = cmd_name + ("_" if keyword.iskeyword(cmd_name) else "")
        command = typer.main.get_command(importlib.import_module(f"{self.package}.{module}").app)
        command.name = cmd_name
        return command


def new_group(commands: type[LazyGroup]) -> typer.Typer:
    """Return the Typer app of a group; its callback, which is added later, has the group's help."""
    return typer.Typer(
        cls=commands, rich_markup_mode=None, add_completion=False, no_args_is_help=True
    )


def new_command() -> typer.Typer:
    """Return the Typer app of a module with one command."""
    return typer.Typer(rich_markup_mode=None, add_completion=False)
