"""``dutiful enqueue TASK --from FILE``: a job for each line of JSON, in memory that does not grow."""

from __future__ import annotations

from collections.abc import Iterator
from typing import IO, Any

import click

from ..app.app import App
from ..app.bulk import Streamed
from ..app.task import Using
from ..model.errors import DutifulError
from . import arguments
from .bars import bar
from .reach import Reach
from .session import Session


def enqueue_rows(
    session: Session, app: App, using: Using[..., Any], source: IO[bytes], *, skip: int, reason: str
) -> None:
    """Store them, with a bar; what stops it names the line, and how to go on."""
    rows = _Rows(using, source, skip)
    so_far = Streamed(0, 0)

    with bar(session, f"enqueue {using.task.name}", _lines(source)) as show:
        show(skip, "")

        def told(now: Streamed) -> None:
            nonlocal so_far
            so_far = now
            show(skip + now.rows, f"{now.duplicates:,} there already" if now.duplicates else "")

        ops = Reach(app.engine, app.name, app).ops(session)
        try:
            done = ops.enqueue_stream(using, rows, reason=reason, told=told)
        except click.UsageError as error:  # a line that is no JSON
            raise click.UsageError(f"{rows.where}: {error.message} {_go_on(skip, so_far)}") from None
        except DutifulError as error:
            error.hint = f"{error.hint}\nAt {rows.where}. {_go_on(skip, so_far)}".strip()
            raise
        except KeyboardInterrupt:
            session.printer.say(f"Interrupted. {_go_on(skip, so_far)}")
            raise
    fields = {"app": app.name, "task": using.task.name, "stored": done.stored, "duplicates": done.duplicates}
    if session.printer.json:
        session.printer.document("enqueue-rows/1", {**fields, "skipped": skip})
        return
    session.printer.put(f"{done.stored:,} {'job' if done.stored == 1 else 'jobs'} of {using.task.name}")
    if done.duplicates:
        session.printer.say(f"{done.duplicates:,} more rows have their job already: nothing new.")


class _Rows:
    """Rows of a file of JSON lines; ``where`` says which one was read last."""

    def __init__(self, using: Using[..., Any], source: IO[bytes], skip: int) -> None:
        self._using, self._source, self._skip = using, source, skip
        self._line = 0

    @property
    def where(self) -> str:
        """Where it is, for people."""
        return f"{getattr(self._source, 'name', 'the input')}, line {self._line:,}"

    def __iter__(self) -> Iterator[Any]:
        left = self._skip
        for text in self._source:
            self._line += 1
            if not text.strip():
                continue
            if left:
                left -= 1
                continue
            args, kwargs = arguments.from_json(self._using.task, text, "This line")
            yield kwargs or args


def _go_on(skip: int, so_far: Streamed) -> str:
    stored = skip + so_far.rows
    if not so_far.rows:
        return "Nothing was stored."
    return f"The first {stored:,} rows are stored: go on with --skip {stored}."


def _lines(source: IO[bytes]) -> int | None:
    """How many rows a file has; None where it cannot be read twice."""
    try:
        if not source.seekable():
            return None
        count = sum(1 for line in source if line.strip())
        source.seek(0)
    except OSError:
        return None
    return count
