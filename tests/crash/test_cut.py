"""Every operation, cut after each of its statements, on each engine and through both faces.

Afterwards the store is as it was before, or, where the first statement is whole by itself, as after;
the checker finds nothing, and the operation can be carried out again.
"""

from __future__ import annotations

from typing import Any

import pytest

from dutiful.model.errors import OpsError, StateError
from dutiful.operations import verify
from dutiful.operations.plan import Call, Step
from tests.contract import warm
from tests.contract.stores import face, opened
from tests.contract.world import Eye
from tests.crash.examples import APP, EXAMPLES, World, operations


class Cut(Exception):
    """Power off."""


Tables = dict[str, list[dict[str, Any]]]


class Scissors:
    """Cuts after so many statements; counts them."""

    def __init__(self, after: int) -> None:
        self.after = after
        self.seen: list[Step] = []

    def __call__(self, step: Step) -> None:
        self.seen.append(step)
        if len(self.seen) == self.after:
            raise Cut


INSIDE = {f"works.{name}_work{s}" for name in ("begin", "finish") for s in ("", "s")} | {"works.forget_works"}
"""Carried out in a body's transaction, where they alone cannot be committed: cut in test_exactly_once."""

OF_ONE_ENGINE = {"works.fate_of", "works.end_backend"}
"""PostgreSQL's; one statement each, which reads, or ends another session."""


def test_every_operation_has_an_example() -> None:
    shown = {name.partition(" ")[0] for name in EXAMPLES}
    assert set(operations()) == shown | INSIDE | OF_ONE_ENGINE


@pytest.mark.parametrize("twin", ["run", "arun"])
@pytest.mark.parametrize("name", sorted(EXAMPLES))
def test_a_cut_leaves_all_or_nothing(rows_url: str, name: str, twin: str) -> None:
    with opened(rows_url) as engine:
        if name == "enqueue.load" and not engine.can_copy:
            pytest.skip("a bulk load is for engines that can COPY")
        world = World(engine)
        run = face(engine, twin)
        eye = Eye(engine)
        before = eye.tables()
        # One value, begun anew after each cut, as an engine begins it anew after "locked".
        operation = EXAMPLES[name](world)
        for after in range(1, 50):
            scissors = Scissors(after)
            engine.observe = scissors
            try:
                run(operation)
            except Cut:
                engine.observe = None
                left = eye.tables()
                if left != before:
                    last = scissors.seen[-1]  # all before it only read
                    assert isinstance(last, Call) and last.alone, changes(before, left)
                    break
            else:
                break
            finally:
                engine.observe = None
        else:
            raise AssertionError("it never ends")
        if name == "enqueue.load":
            return  # COPY knows no duplicates: its jobs' ids are new ones, and a repeat is another call
        try:
            run(operation)
        except (StateError, OpsError):
            assert eye.tables() != before  # it was done: a person's verb is refused the second time
        if warm.knows(rows_url):
            assert warm.check(rows_url, APP, engine.clock) == []
        else:
            assert run(verify.check(APP, full=True)) == []
        eye.close()


def changes(before: Tables, after: Tables) -> Any:
    """The rows that are gone, and those that came."""
    return {
        table: [row for row in before[table] if row not in after[table]]
        + [row for row in after[table] if row not in before[table]]
        for table in before
        if before[table] != after[table]
    }


def test_the_scissors_can_see_a_half_written_operation(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The planted bug: an engine that commits after each statement leaves halves, and is caught."""
    from dutiful.engines import sqlite
    from dutiful.engines.sqlite_transactions import OwnTransaction

    class Careless(OwnTransaction):
        def execute(self, step: Step, alone: bool) -> Any:
            rows = super().execute(step, alone)
            self._connection.execute("COMMIT")
            self._connection.execute("BEGIN")
            return rows

    with opened(sqlite_url) as engine:
        world = World(engine)
        eye = Eye(engine)
        before = eye.tables()
        assert isinstance(engine, sqlite.SqliteEngine)
        monkeypatch.setattr(sqlite, "OwnTransaction", Careless)
        engine.observe = Scissors(2)
        try:
            with pytest.raises(Cut):
                engine.run(EXAMPLES["settle.settle"](world))
        finally:
            monkeypatch.undo()
            engine.observe = None
        assert eye.tables() != before
        eye.close()
