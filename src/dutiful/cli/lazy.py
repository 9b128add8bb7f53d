"""Commands that are imported when they are called, so that help and completion are quick."""

from __future__ import annotations

import difflib
from importlib import import_module
from typing import TYPE_CHECKING, Any

import click

from .session import shared_options

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

COMPLETION = "_DUTIFUL_COMPLETE"
"""The variable by which a shell's script asks this program what could stand here."""


class SharedCommand(click.Command):
    """A command that also takes the options of every command."""

    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **settings)
        self.params.extend(shared_options())

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Its own options in full, the shared ones by name."""
        _format_options(self, ctx, formatter)


class SharedGroup(click.Group):
    """A noun with verbs; the shared options may stand before the verb, too."""

    command_class = SharedCommand

    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **settings)
        self.params.extend(shared_options())

    def list_commands(self, ctx: click.Context) -> list[str]:
        """In the order of the module, which is that of a first reader."""
        return list(self.commands)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click does, but a slip of the pen is answered with what was meant."""
        name = args[0] if args else ""
        slip = self.get_command(ctx, name) is None and not name.startswith("-")
        if slip and not ctx.resilient_parsing:
            known = self.list_commands(ctx)
            near = difflib.get_close_matches(name, known, n=1)
            meant = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(known)}."
            ctx.fail(f"There is no command {name!r}; {meant}")
        return super().resolve_command(ctx, args)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Its own options in full, the shared ones by name, then the commands."""
        _format_options(self, ctx, formatter)
        self.format_commands(ctx, formatter)


class LazyGroup(SharedGroup):
    """A group whose commands are ``{name: (module, help)}``: the object ``NAME_command`` in the module."""

    def __init__(self, *args: Any, lazy: dict[str, tuple[str, str]], **settings: Any) -> None:
        super().__init__(*args, **settings)
        self.lazy = lazy

    def list_commands(self, ctx: click.Context) -> list[str]:
        """In the order of the table, which is that of a first reader."""
        return list(self.lazy)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Imports the module of the command."""
        if cmd_name not in self.lazy:
            return None
        module = import_module(f"{__package__}.{self.lazy[cmd_name][0]}")
        command: click.Command = getattr(module, f"{cmd_name}_command")
        return command

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """From the table: a key that is pressed imports no command."""
        from click.shell_completion import CompletionItem

        found = [
            CompletionItem(name, help=text)
            for name, (_, text) in self.lazy.items()
            if name.startswith(incomplete)
        ]
        return [*found, *click.Command.shell_complete(self, ctx, incomplete)]

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """All options in full: this is where they are explained."""
        click.Command.format_options(self, ctx, formatter)
        self.format_commands(ctx, formatter)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """From the table: nothing is imported for it."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in self.lazy.items()])


def _format_options(command: click.Command, ctx: click.Context, formatter: click.HelpFormatter) -> None:
    own: list[tuple[str, str]] = []
    shared: list[str] = []
    for parameter in command.get_params(ctx):
        if (parameter.name or "").startswith("shared_"):
            shared.append(parameter.opts[0])
        elif isinstance(parameter, click.Option) and (record := parameter.get_help_record(ctx)) is not None:
            own.append(record)
    with formatter.section("Options"):
        formatter.write_dl(own)
    with formatter.section("Options of every command (dutiful --help explains them)"):
        formatter.write_text(" ".join(shared))
