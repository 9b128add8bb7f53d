"""What a command prints: data on stdout, talk on stderr; one JSON document, or text for people."""

from __future__ import annotations

import os
import shutil
import sys
import textwrap
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import click
import msgspec

from . import times
from .tables import Column, fit, shown

PROSE_MAX = 110
"""Longer lines are hard to read, however wide the terminal is."""


class Printer:
    """How this call of the program wants its output."""

    def __init__(
        self, *, json: bool, plain: bool, quiet: bool, utc: bool, complete: Callable[[str], str]
    ) -> None:
        self.complete = complete
        """Completes the commands in a text, so that they reach the same app."""
        self.json = json
        self.quiet = quiet
        self.utc = utc
        self._terminal = _is_terminal(sys.stdout)
        self.rich = self._terminal and not plain and not json and os.environ.get("TERM") != "dumb"

    # ── text ────────────────────────────────────────────────────────────────────────────────

    def put(self, text: str = "") -> None:
        """A line of data (stdout)."""
        click.echo(text)

    def say(self, text: str = "") -> None:
        """A line of talk (stderr); silent with ``--quiet``."""
        if not self.quiet:
            click.echo(self.complete(text), err=True)

    def table(self, columns: Sequence[Column], rows: Sequence[Sequence[str]]) -> None:
        """Rows of data under a header, within the width of the terminal or COLUMNS."""
        width = self.width
        fitted = fit(columns, rows, width)
        if self.rich:
            try:
                from .rich_tables import print_table
            except ImportError:
                pass  # the extra is not installed: plain text says the same
            else:
                print_table(fitted, width or 0)
                return
        for line in fitted.lines():
            self.put(line)

    @property
    def width(self) -> int | None:
        """Cells in a line; None where nobody looks: then nothing is cut or left out."""
        if not self._terminal and not os.environ.get("COLUMNS", "").isdecimal():
            return None
        return shutil.get_terminal_size().columns

    def when(self, us: int | None, now_us: int) -> str:
        """An instant, absolute and relative; nothing for None."""
        return "" if us is None else times.full(us, now_us, utc=self.utc)

    def clock(self, us: int | None) -> str:
        """An instant, absolute alone."""
        return "" if us is None else times.absolute(us, utc=self.utc)

    def fields(self, pairs: Sequence[tuple[str, str]]) -> None:
        """Names and values, one a line; those without a value are left out."""
        pairs = [(name, value) for name, value in pairs if value]
        wide = max((len(name) for name, _ in pairs), default=0)
        for name, value in pairs:
            self.put(f"  {name:<{wide}}  {shown(value)}")

    def block(self, text: str, indent: str = "    ") -> None:
        """Stored text of several lines, made safe for a terminal."""
        for line in shown(text, lines=True).splitlines():
            self.put(f"{indent}{line}".rstrip())

    def prose(self, text: str, indent: str = "", hanging: str | None = None) -> None:
        """Sentences, broken into lines where somebody reads them."""
        width = self.width
        first = indent
        for paragraph in shown(text, lines=True).splitlines():
            if width is None:
                self.put(f"{first}{paragraph}".rstrip())
            else:
                later = indent if hanging is None else hanging
                lines = textwrap.wrap(
                    paragraph,
                    min(width, PROSE_MAX),
                    initial_indent=first,
                    subsequent_indent=later,
                    break_long_words=False,
                    break_on_hyphens=False,
                )
                for line in lines or [""]:
                    self.put(line)
            first = indent if hanging is None else hanging

    # ── for programs ────────────────────────────────────────────────────────────────────────

    def document(self, schema: str, fields: Mapping[str, Any]) -> None:
        """The one JSON document of this call: indented for a terminal, else on one line."""
        data = msgspec.json.encode({"schema": f"dutiful/{schema}", **fields}, enc_hook=_plain)
        self.put((msgspec.json.format(data, indent=2) if self._terminal else data).decode())


def raw(data: bytes | None) -> Any:
    """Stored JSON as a part of a document; what is no JSON is given as text."""
    if data is None:
        return None
    try:
        msgspec.json.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return bytes(data).decode(errors="backslashreplace")
    return msgspec.Raw(bytes(data))


def answers() -> bool:
    """Whether there is a person who could answer a question."""
    return _is_terminal(sys.stdin) and _is_terminal(sys.stderr)


def _is_terminal(stream: Any) -> bool:
    try:
        return bool(stream.isatty())
    except (AttributeError, ValueError):
        return False  # closed, or none at all


def _plain(value: object) -> object:
    return (
        bytes(value).decode(errors="backslashreplace")
        if isinstance(value, bytes | memoryview)
        else str(value)
    )
