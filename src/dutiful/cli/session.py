"""What the options of every command say, and what follows from them."""

from __future__ import annotations

import getpass
import os
import socket
from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any

import click

from .exits import Refusal
from .printing import Printer, answers
from .suggestions import complete


@dataclass
class Session:
    """One call of the program; options after the command win over those before it."""

    app: str | None = None
    store: str | None = None
    app_name: str | None = None
    json: bool = False
    plain: bool = False
    quiet: bool = False
    utc: bool = False
    actor: str | None = None
    yes: bool = False

    @cached_property
    def printer(self) -> Printer:
        """Where output goes; first asked for when all options are known."""
        return Printer(
            json=self.json, plain=self.plain, quiet=self.quiet, utc=self.utc, complete=self.completed
        )

    def completed(self, text: str) -> str:
        """A text with commands to type, each with the options that reach the same app or store."""
        return complete(text, app=self.app, store=self.store, app_name=self.app_name)

    @property
    def who(self) -> str:
        """The actor in the audit: ``--as``, else user@host."""
        if self.actor:
            return self.actor
        try:
            user = getpass.getuser()
        except (KeyError, OSError):  # a container whose user has no name
            user = f"uid {os.getuid()}"
        return f"{user}@{socket.gethostname()}"

    def confirm(self, question: str) -> None:
        """Ask, unless ``--yes``; raises Refusal where nobody can answer or the answer is no."""
        if self.yes:
            return
        if self.json or not answers():
            raise Refusal(f"{question} Nobody is there to answer.", "Give --yes if that is what you want.")
        if not click.confirm(question, err=True):
            raise Refusal("Nothing was changed.")

    def ask(self, question: str, flag: str) -> str:
        """An answer in words; raises Refusal, which names the flag, where nobody can answer."""
        if self.json or not answers():
            raise Refusal(f"{question} is needed, and nobody is there to answer.", f"Give {flag}.")
        answer: str = click.prompt(question, err=True)
        return answer


pass_session = click.make_pass_decorator(Session, ensure=True)


def shared_options() -> list[click.Option]:
    """The options of every command, made anew for each, as click wants it."""
    return [
        _option(
            "--app",
            "app",
            metavar="MODULE:VAR",
            help="The App, as shop.jobs:app. Else: DUTIFUL_APP, or"
            " app in [tool.dutiful] of ./pyproject.toml.",
        ),
        _option("--store", "store", metavar="URL", help="A database instead of an app; enough for looking."),
        _option(
            "--app-name",
            "app_name",
            metavar="NAME",
            help="With --store: whose jobs, if it has several apps'.",
        ),
        _option("--json", "json", is_flag=True, help="One JSON document on stdout."),
        _option("--plain", "plain", is_flag=True, help="Plain text on a terminal, too."),
        _option("--quiet", "quiet", is_flag=True, help="No talk on stderr but errors."),
        _option("--utc", "utc", is_flag=True, help="Instants in UTC instead of this host's time zone."),
        _option("--as", "actor", metavar="NAME", help="Who you are, for the audit (default: user@host)."),
        _option("--yes", "yes", is_flag=True, help="Answer yes to what would be asked."),
    ]


SHARED = tuple(field.name for field in fields(Session))


def _option(flag: str, name: str, **settings: Any) -> click.Option:
    return click.Option([flag, f"shared_{name}"], expose_value=False, callback=_keep(name), **settings)


def _keep(name: str) -> Callable[[click.Context, click.Parameter, Any], Any]:
    def callback(context: click.Context, _parameter: click.Parameter, value: Any) -> Any:
        if value not in (None, False):
            setattr(context.ensure_object(Session), name, value)
        return value

    return callback
