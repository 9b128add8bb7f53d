"""The two sides of a reconciliation, as rows: out of a database, a function, or another system."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from typing import TYPE_CHECKING, Any

from ..engines.evidence import Evidence, instant, open_evidence
from ..model.errors import InvalidReconcile
from .reconciling import Reconciler, Source

if TYPE_CHECKING:
    from .app import App

HANDLES_MAX = 10_000
"""So many rows of another system are taken at a time."""


class Sides:
    """Of one pass, with the connections that it reads by; closed at its end."""

    def __init__(self, app: App, one: Reconciler) -> None:
        self._app, self._one = app, one
        self._open: dict[str | None, Evidence] = {}

    def __enter__(self) -> Sides:
        return self

    def __exit__(self, *_: object) -> None:
        while self._open:
            self._open.popitem()[1].close()

    def at(self, database: str | None) -> Evidence:
        """One of the app's databases to read from; None is the queue's own."""
        if database not in self._open:
            self._open[database] = open_evidence(self._app.engine_of(database))
        return self._open[database]

    def place(self) -> str:
        """Where all that is compared is: should one of these be another database now, it was restored."""
        one = self._one
        names = {one.database, one.done_database or one.database, one.task.elsewhere, None}
        return " ".join(self.at(name).place() for name in sorted(names, key=lambda name: name or ""))

    def horizon_us(self) -> int | None:
        """Before this no transaction began that may still commit something to expect."""
        return self.at(self._one.database).horizon_us()

    def expected(self, since_us: int, until_us: int) -> Iterable[Any]:
        """What is expected of the task."""
        side = self._one.expected
        if isinstance(side, str):
            return self.at(self._one.database).rows(side, since_us, until_us)
        assert callable(side)
        return side(instant(since_us), instant(until_us))

    def handled(self, since_us: int, until_us: int) -> list[tuple[Any, Any]]:
        """The same with the handles of another system; what is beyond ``HANDLES_MAX`` comes next time."""
        side = self._one.expected
        found = list(
            islice(side if isinstance(side, Source) else self.expected(since_us, until_us), HANDLES_MAX)
        )
        for pair in found:
            if not isinstance(pair, tuple) or len(pair) != 2:
                raise InvalidReconcile(
                    f"reconcile {self._one.name!r}: with acknowledge= expected yields pairs of a row and its "
                    f"handle, not {type(pair).__name__}."
                )
        return found

    def done(self, since_us: int, until_us: int) -> Iterable[Any]:
        """The evidence."""
        side = self._one.done
        if isinstance(side, str):
            return self.at(self._one.done_database or self._one.database).rows(side, since_us, until_us)
        assert side is not None
        return side(instant(since_us), instant(until_us))
