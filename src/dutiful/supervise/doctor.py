"""``dutiful doctor``: is everything around the jobs as it must be, and where can we not say?

Each check gives notes of four kinds: well, worth knowing, bad (a person must act), cannot say. A bad
note outranks one that cannot say; neither is ever left out for the other.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from ..engines.contract import Engine
from ..model.errors import DutifulError, SchemaMissing, SchemaTooNew, SchemaTooOld, StoreError
from ..operations import health
from . import postgres_health, sqlite_health, worker_health
from .notes import Note, bad, unknown, well

Verdict = Literal["well", "bad", "cannot say"]


@dataclass(frozen=True, slots=True)
class Examination:
    """All notes, in the order of the checks."""

    notes: tuple[Note, ...]

    @property
    def verdict(self) -> Verdict:
        """One word for all of them."""
        kinds = {note.kind for note in self.notes}
        return "bad" if "bad" in kinds else "cannot say" if "unknown" in kinds else "well"


def examine(engine: Engine, app: str | None, *, known: Mapping[str, int] | None = None) -> Examination:
    """Look at the store and, of ``app`` (None: of every app in it), at its workers.

    ``known`` are the tasks of the app's code, where that is at hand: a task that waits and is known
    neither to a worker nor here was renamed or deleted. Raises nothing that a store can raise.
    """
    return Examination(tuple(_notes(engine, app, known)))


def _notes(engine: Engine, app: str | None, known: Mapping[str, int] | None) -> Iterator[Note]:
    first = list(sqlite_health.before_opening(engine)) if engine.name == "sqlite" else []
    yield from first
    if any(note.kind == "bad" for note in first):
        yield unknown("the rest", "Without the store nothing more can be looked at.")
        return
    try:
        engine.check_schema()
    except (SchemaMissing, SchemaTooOld, SchemaTooNew) as error:
        yield bad("schema", error.message, error.hint)
        yield unknown("the rest", "Without the right tables nothing more can be looked at.")
        return
    except Exception as error:
        if isinstance(error, StoreError):
            yield bad("store", error.message, _hint(error))
        else:  # a driver's own
            yield bad("store", f"It cannot be used: {_driver_said(error)}")
        yield unknown("the rest", "Without the store nothing more can be looked at.")
        return
    yield well("store", f"{_shown(engine)} is reached, and its tables are of this version.")
    for title, check in (("settings", _settings), ("workers", _workers)):
        try:
            yield from check(engine, app, known)
        except DutifulError as error:
            yield unknown(title, error.message, error.hint)
        except Exception as error:  # a driver's own, as "permission denied"
            yield unknown(title, _driver_said(error))


def _settings(engine: Engine, app: str | None, known: Mapping[str, int] | None) -> Iterator[Note]:
    readings = engine.run(health.readings())
    yield from (sqlite_health if engine.name == "sqlite" else postgres_health).settings(engine, readings)


def _workers(engine: Engine, app: str | None, known: Mapping[str, int] | None) -> Iterator[Note]:
    apps = engine.run(health.apps()) if app is None else [app]
    for name in apps:
        workers, due, now_us = engine.run(health.workforce(name))
        yield from worker_health.workers(name, workers, due, now_us, known)
    if not apps:
        yield Note("note", "workers", "No app has stored anything here yet.")


def _shown(engine: Engine) -> str:
    return str(getattr(engine, "shown", None) or getattr(engine, "path", engine.url))


def _driver_said(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}"


def _hint(error: StoreError) -> str:
    if "unsupported startup parameter" in error.message:
        return "That is PgBouncer: add pooler=transaction to the URL's options."
    return error.hint
