"""Errors as a person reads them: code, what happened, what to do; and as a program does."""

from __future__ import annotations

import os
import platform
import re
import secrets
import sys
import tempfile
import traceback
from pathlib import Path
from typing import Any

import click
import msgspec

from ..model.errors import DutifulError
from .exits import BUG, exit_of
from .session import Session
from .tables import shown

DEBUG = "DUTIFUL_DEBUG"
_PASSWORD = re.compile(r"(://[^\s:/@]*:)[^\s@]+(@)|((?:password|passwd)=)[^\s&'\"]+", re.IGNORECASE)


def report(error: BaseException, session: Session) -> int:
    """Say what went wrong, on stderr (and with ``--json`` as the document on stdout, too)."""
    if isinstance(error, DutifulError):
        code, message, hint, exit_code = error.code, error.message, error.hint, exit_of(error)
    elif isinstance(error, click.ClickException):
        message, hint, exit_code = error.format_message(), getattr(error, "hint", ""), error.exit_code
        code = None
        if isinstance(error, click.UsageError):
            hint = _usage_hint(error)
    else:
        return _bug(error, session)
    hint = session.completed(hint)
    _print(code, message, hint)
    if session.json:
        _document(session, code, message, hint, exit_code)
    return exit_code


def masked(text: str) -> str:
    """The text without the passwords of the URLs in it."""
    return _PASSWORD.sub(lambda found: f"{found[1]}***{found[2]}" if found[1] else f"{found[3]}***", text)


def _print(code: str | None, message: str, hint: str) -> None:
    first, *more = shown(masked(message), lines=True).splitlines() or [""]
    mark = code or "dutiful:"
    if sys.stderr.isatty() and not os.environ.get("NO_COLOR"):
        mark = click.style(mark, fg="red", bold=True)
    click.echo(f"{mark} {first}", err=True)
    for line in (*more, *shown(masked(hint), lines=True).splitlines()):
        click.echo(f"      {line}".rstrip(), err=True)


def _usage_hint(error: click.UsageError) -> str:
    command = error.ctx.command_path if error.ctx is not None else "dutiful"
    return f"See: {command} --help"


def _bug(error: BaseException, session: Session) -> int:
    """Something that nobody foresaw: a short id, and the whole story where it can be fetched from."""
    number = secrets.token_hex(4)
    story = "".join(traceback.format_exception(error))
    what = traceback.format_exception_only(error)[-1].strip()
    if os.environ.get(DEBUG) == "1":
        click.echo(story, err=True)
        where = "Its traceback stands above."
    else:
        try:
            where = f"Its traceback is in {_written(number, story)}"
        except OSError as refused:
            where = f"Its traceback could not be written ({refused}): run it again with {DEBUG}=1."
    message = f"This should not have happened (report {number}): {what}"
    _print(None, message, f"{where}\nPlease send it with what you typed.")
    if session.json:
        _document(session, None, message, where, BUG)
    return BUG


def _written(number: str, story: str) -> Path:
    from .. import __version__

    descriptor, name = tempfile.mkstemp(prefix=f"dutiful-report-{number}-", suffix=".txt", text=True)
    head = f"dutiful {__version__}, Python {platform.python_version()}, {platform.platform()}\n"
    typed = masked(" ".join(sys.argv[1:]))
    with open(descriptor, "w", encoding="utf-8", errors="backslashreplace") as file:
        file.write(f"{head}arguments: {typed}\n\n{masked(story)}")
    return Path(name)


def _document(session: Session, code: str | None, message: str, hint: str, exit_code: int) -> None:
    error: dict[str, Any] = {
        "code": code,
        "message": masked(message),
        "hint": masked(hint),
        "exit": exit_code,
    }
    try:
        click.echo(msgspec.json.encode({"schema": "dutiful/error/1", **error}).decode())
    except BrokenPipeError:
        pass  # nobody reads; it was said on stderr
