"""Command groups whose modules are loaded only when a command of them is used."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Mapping
from typing import Any, ClassVar

import typer
from typer.core import TyperGroup


class LazyGroup(TyperGroup):
    """A group of commands, which are in modules of the Python package `package`.

    `modules` names the modules of some commands, with the package if it is another one. All other
    commands are in `module`. If `module` is "", each of these is in the module of its own name,
    with an underscore in the place of each hyphen. Each module has a Typer app with its commands,
    in the variable that `app` names. The groups within the group are in `groups`; the docstring of
    such a class is its help.
    """

    package: ClassVar[str] = "galwad.cli"
    module: ClassVar[str] = ""
    modules: ClassVar[Mapping[str, str]] = {}
    app: ClassVar[str] = "app"
    groups: ClassVar[Mapping[str, type[LazyGroup]]] = {}
    summaries: ClassVar[Mapping[str, str]]
    """The line about each command in the group's help, by the command's name.

    The help has the commands in this order. It does not use the commands' own texts, because they
    are in the commands' modules, which take a second to load.
    """

    def list_commands(self, ctx: Any) -> list[str]:
        """Return the names of the commands in the group, for the help."""
        del ctx
        return list(self.summaries)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Load the module of a command and return the command; None if the group lacks it."""
        del ctx
        if cmd_name not in self.summaries:
            return None
        if cmd_name in self.groups:
            return self._group(cmd_name)
        command: Any = typer.main.get_command(self.app_of(cmd_name))
        if isinstance(command, TyperGroup) and not isinstance(command, LazyGroup):
            command = command.commands[cmd_name]
        command.name = cmd_name
        return command

    def app_of(self, cmd_name: str) -> typer.Typer:
        """Load the module of the command `cmd_name`, and return the Typer app with the command."""
        module = self.modules.get(cmd_name) or self.module or cmd_name.replace("-", "_")
        full = module if "." in module else f"{self.package}.{module}"
        app: typer.Typer = getattr(importlib.import_module(full), self.app)
        return app

    def _group(self, name: str) -> TyperGroup:
        group = self.groups[name]
        return group(
            name=name,
            help=inspect.cleandoc(group.__doc__ or ""),
            no_args_is_help=True,
            rich_markup_mode=None,
        )

    def get_help_option(self, ctx: Any) -> Any:
        """Return the option `--help` with the default False.

        Typer's default is None, and Typer loads pydantic to convert it, for each command.
        """
        option = super().get_help_option(ctx)
        if option is not None:
            option.default = False
        return option

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write the list of the commands to the help, without loading their modules."""
        del ctx
        with formatter.section("Commands"):
            formatter.write_dl(list(self.summaries.items()))


def new_command() -> typer.Typer:
    """Return a new Typer app for the command of a module, or for its commands."""
    return typer.Typer(rich_markup_mode=None, add_completion=False)
