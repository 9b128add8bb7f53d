"""``dutiful top``: a live terminal. Without one, or with ``--once``, what it shows is printed once."""

from __future__ import annotations

import os
import select
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import click

from ..model.durations import microseconds
from ..model.errors import DutifulError
from ..model.operators import Operator
from ..operations.glance import Glance, glance
from ..supervise.ops import Ops
from .lazy import SharedCommand
from .printing import answers
from .reach import Reach, reach
from .session import Session, pass_session
from .top_screen import SORTS, Line, View, items_of, screen

ESCAPE = "\x1b"
ARROWS = {"\x1b[A": "k", "\x1b[B": "j", "\x1bOA": "k", "\x1bOB": "j"}


@click.command("top", cls=SharedCommand)
@click.option("--interval", metavar="SPAN", default="2s", show_default=True, help="How often it looks.")
@click.option("--once", is_flag=True, help="Look once, print it, and end.")
@pass_session
def top_command(session: Session, interval: str, once: bool) -> None:
    """The verdict, queues, what runs and what needs a person, live.

    Keys: q quit, p pause, s sort, / filter, up and down (or k and j) choose a thing, Enter opens it, a
    acknowledges it (it asks for a note), r says how its jobs are retried.
    """
    every_s = microseconds(interval, what="--interval", zero_ok=False) / 1e6
    with reach(session) as store:
        if once or session.json or not session.printer.rich or not answers():
            _print_once(session, store)
        else:
            Top(session, store, every_s).run()


def _print_once(session: Session, store: Reach) -> None:
    found = store.run(glance(store.name))
    if session.json:
        from ..supervise.verdict import document

        session.printer.document("top/1", document(found.attention.verdict) | {"running": len(found.running)})
        return
    width = session.printer.width or 200
    for line in screen(found, View(), width=width, height=1000, utc=session.utc)[:-1]:
        session.printer.put("".join(text for text, _ in line).rstrip())


class Top:
    """The live screen."""

    def __init__(self, session: Session, store: Reach, every_s: float) -> None:
        self._session, self._store, self._every_s = session, store, every_s
        self._view = View()
        self._glance: Glance | None = None

    def run(self) -> None:
        """Until q, or Ctrl-C."""
        from rich.console import Console

        console = Console(highlight=False)
        with keyboard(), console.screen(hide_cursor=True) as page:
            look_at = 0.0
            while True:
                if time.monotonic() >= look_at:
                    self._look()
                    look_at = time.monotonic() + self._every_s
                page.update(self._drawn(console.size.width, console.size.height))
                for key in read_keys(max(0.02, look_at - time.monotonic())):
                    if self._view.typing is None and key == "q":
                        return
                    self._press(key)

    def _look(self) -> None:
        if self._view.paused and self._glance is not None:
            return
        try:
            self._glance = self._store.run(glance(self._store.name))
            count = len(items_of(self._glance, self._view))
            self._view = replace(self._view, chosen=max(0, min(self._view.chosen, count - 1)))
        except DutifulError as error:
            # What is shown is old from now on, and says so: it is not to be believed.
            self._view = replace(self._view, said=f"NOT LIVE: {' '.join(str(error).split())}")

    def _drawn(self, width: int, height: int) -> Any:
        from rich.text import Text

        if self._glance is None:
            return Text(self._view.said or "looking…")
        lines = screen(self._glance, self._view, width=width, height=height, utc=self._session.utc)
        return Text("\n").join(_rich(line) for line in lines)

    def _press(self, key: str) -> None:
        view = self._view
        if view.typing is not None:
            self._type(key, view.typing)
            return
        things = items_of(self._glance, view) if self._glance is not None else []
        if key == "p":
            self._view = replace(view, paused=not view.paused, said="")
        elif key == "s":
            self._view = replace(view, sort=SORTS[(SORTS.index(view.sort) + 1) % len(SORTS)], said="")
        elif key == "/":
            self._view = replace(view, typing=view.filter, asks="filter", said="")
        elif key in "jk":
            self._view = view.moved(1 if key == "j" else -1, len(things))
        elif key in "\r\n":
            self._view = replace(view, opened=not view.opened and bool(things), said="")
        elif key == ESCAPE:
            self._view = replace(view, opened=False, filter="", said="")
        elif key == "a" and things:
            self._view = replace(view, typing="", asks="note", said="")
        elif key == "r" and things:
            self._view = replace(view, said=_how_to_retry(things[view.chosen].thing.key, self._session))

    def _type(self, key: str, typed: str) -> None:
        view = self._view
        if key == ESCAPE:
            self._view = replace(view, typing=None)
        elif key in ("\x7f", "\b"):
            self._view = replace(view, typing=typed[:-1])
        elif key in "\r\n":
            self._view = replace(view, typing=None)
            if view.asks == "filter":
                self._view = replace(self._view, filter=typed, chosen=0)
            else:
                self._acknowledge(typed)
        elif key.isprintable():
            self._view = replace(view, typing=typed + key)

    def _acknowledge(self, note: str) -> None:
        assert self._glance is not None
        things = items_of(self._glance, self._view)
        if not things:
            return
        thing = things[self._view.chosen].thing
        ops = Ops(self._store, Operator(self._session.who, perms="operator"))
        try:
            ops.acknowledge(thing.key, note=note, count=thing.size)
            said = "acknowledged for a day"
        except DutifulError as error:
            said = " ".join(str(error).split())
        self._view = replace(self._view, paused=False, said=said)
        self._look()


def _how_to_retry(key: str, session: Session) -> str:
    kind, _, fingerprint = key.partition(":")
    if kind != "group":
        return "That is no cause of death: there is nothing to retry."
    return session.completed(f"dutiful dead retry --fp {fingerprint} --dry-run")


def _rich(line: Line) -> Any:
    from rich.text import Text

    return Text.assemble(*line) if line else Text("")


@contextmanager
def keyboard() -> Iterator[None]:
    """Keys come one by one and are not shown; Ctrl-C still interrupts."""
    import termios
    import tty

    number = sys.stdin.fileno()
    before = termios.tcgetattr(number)
    try:
        tty.setcbreak(number)
        yield
    finally:
        termios.tcsetattr(number, termios.TCSADRAIN, before)


def read_keys(timeout_s: float) -> list[str]:
    """The keys that were pressed, after at most so long; arrows as k and j. The end of input is q."""
    number = sys.stdin.fileno()
    if not select.select([number], [], [], timeout_s)[0]:
        return []
    text = os.read(number, 1024).decode(errors="ignore")
    if not text:
        return ["q"]
    for arrow, key in ARROWS.items():
        text = text.replace(arrow, key)
    return list(text)
