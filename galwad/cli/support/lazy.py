"""Command groups whose modules are loaded only when a command of them is used."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

import typer
from typer.core import TyperGroup


class LazyGroup(TyperGroup):
    """A group of commands, each of which is in a module with a Typer app."""

    def __init__(
        self,
        help: str | None = None,  # noqa: A002 - the name in TyperGroup
        module: str = "",
        *,
        summaries: Mapping[str, str],
        modules: Mapping[str, str] = {},
        groups: Mapping[str, LazyGroup] = {},
        app: str = "app",
        **options: Any,
    ) -> None:
        """Store where the commands are; load nothing.

        `summaries` has the line about each command in the group's help, in the help's order. The
        help does not use the commands' own texts, because they are in the commands' modules, which
        take a second to load. `modules` names the modules of some commands, and `groups` has the
        groups within the group. All other commands are in `module`. `app` is the name of the Typer
        app in each module.
        """
        options |= {"no_args_is_help": True, "rich_markup_mode": None}
        super().__init__(help=help, **options)
        self.summaries = summaries
        self._module = module
        self._modules = modules
        self._groups = groups
        self._app = app

    def list_commands(self, ctx: Any) -> list[str]:
        """Return the names of the commands in the group, for the help."""
        del ctx
        return list(self.summaries)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Load the module of a command and return the command; None if the group lacks it."""
        del ctx
        if cmd_name not in self.summaries:
            return None
        command: Any = self._groups.get(cmd_name)
        if command is None:
            command = typer.main.get_command(self.app_of(cmd_name))
        if isinstance(command, TyperGroup) and not isinstance(command, LazyGroup):
            command = command.commands[cmd_name]
        command.name = cmd_name
        return command

    def app_of(self, cmd_name: str) -> typer.Typer:
        """Load the module of the command `cmd_name`, and return the Typer app with the command."""
        module = importlib.import_module(self._modules.get(cmd_name, self._module))
        app: typer.Typer = getattr(module, self._app)
        return app

    def get_help_option(self, ctx: Any) -> Any:
        """Return the option `--help` with the default False.

        With Typer's default None, each command would load pydantic to convert it.
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
    """Return a new Typer app for the commands of a module."""
    return typer.Typer(rich_markup_mode=None, add_completion=False)
