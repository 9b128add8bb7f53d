"""``dutiful doctor``: is everything around the jobs as it must be, and where can we not say?

Each check gives notes of five kinds: well, worth knowing, bad (a person must act), cannot say, and not
looked at, because of how it was called (that changes no verdict, and is never counted as well). A bad note
outranks one that cannot say; neither is ever left out for the other.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from msgspec import Struct

from ..app.app import App
from ..engines.contract import Engine
from ..model.errors import (
    DutifulError,
    NetworkFileSystem,
    SchemaMissing,
    SchemaTooNew,
    SchemaTooOld,
    StoreError,
)
from ..operations import health
from . import pooler_health, postgres_health, sqlite_health, task_health, worker_health
from .notes import Note, bad, skipped, unknown, well

Verdict = Literal["well", "bad", "cannot say"]


class Examination(Struct, frozen=True):
    """All notes, in the order of the checks."""

    notes: tuple[Note, ...]

    @property
    def verdict(self) -> Verdict:
        """One word for all of them."""
        kinds = {note.kind for note in self.notes}
        return "bad" if "bad" in kinds else "cannot say" if "unknown" in kinds else "well"


class Patient(Struct, frozen=True):
    """What is looked at. ``name`` None: every app in the store; ``app`` is its code, where that is at hand.

    ``drain_us`` is the workers' shutdown budget, if it is another than the default.
    """

    engine: Engine
    name: str | None = None
    app: App | None = None
    drain_us: int | None = None

    @property
    def names(self) -> list[str]:
        """The apps that are meant."""
        return self.engine.run(health.apps()) if self.name is None else [self.name]


def examine(patient: Patient) -> Examination:
    """Look at the store, its settings, the tasks that are declared, and the workers.

    With the app's code: a task that waits and is known neither to a worker nor there was renamed or
    deleted. Raises nothing that a store can raise.
    """
    return Examination(tuple(_notes(patient)))


def _notes(patient: Patient) -> Iterator[Note]:
    engine = patient.engine
    look = sqlite_health.before_opening if engine.name == "sqlite" else pooler_health.session
    try:
        first = list(look(engine))
        yield from first
        if any(note.kind == "bad" and note.subject in ("store", "pooler") for note in first):
            yield unknown("the rest", "Until that is mended nothing more can be looked at.")
            return
        engine.check_schema()
    except (SchemaMissing, SchemaTooOld, SchemaTooNew) as error:
        yield bad("schema", error.message, error.hint)
        yield unknown("the rest", "Without the right tables nothing more can be looked at.")
        return
    except Exception as error:
        if isinstance(error, NetworkFileSystem):
            yield bad("file system", error.message, error.hint)
        elif isinstance(error, StoreError):
            yield bad("store", error.message, _hint(error))
        else:  # a driver's own
            yield bad("store", f"It cannot be used: {_driver_said(error)}")
        yield unknown("the rest", "Without the store nothing more can be looked at.")
        return
    yield well("store", f"{_shown(engine)} is reached, and its tables are of this version.")
    for title, check in (("settings", _settings), ("tasks", _tasks), ("workers", _workers)):
        try:
            yield from check(patient)
        except DutifulError as error:
            yield unknown(title, error.message, error.hint)
        except Exception as error:  # a driver's own, as "permission denied"
            yield unknown(title, _driver_said(error))


def _settings(patient: Patient) -> Iterator[Note]:
    engine = patient.engine
    readings = engine.run(health.readings())
    if engine.name == "sqlite":
        yield from sqlite_health.settings(engine, readings)
    else:
        yield from postgres_health.settings(readings)


def _tasks(patient: Patient) -> Iterator[Note]:
    engine, app = patient.engine, patient.app
    names = patient.names
    for name in names:
        tasks = task_health.of_app(app) if app is not None else task_health.of_store(engine, name)
        if app is None and not tasks:
            for subject in ("at_most_once", "timeouts", "ledger horizon"):
                yield skipped(subject, f"no worker of {name} has told of its tasks yet.", task_health.CODE)
            continue
        once = [task.name for task in tasks if task.delivery == "at_most_once"]
        if engine.name == "sqlite":
            yield from sqlite_health.at_most_once(once)
        else:
            yield from postgres_health.at_most_once(engine.run(health.readings()), once)
        yield from task_health.timeouts(tasks, patient.drain_us)
        yield from task_health.horizon(engine, name, tasks)
    if not names:
        for subject in ("at_most_once", "timeouts", "ledger horizon"):
            yield skipped(subject, "no app has stored anything here yet.", task_health.CODE)
    if app is None:
        yield skipped("calls", "they stand in the app's code.", task_health.CODE)
        return
    from .call_health import calls  # the checklist's reader is not loaded for less

    yield from calls(app)


def _workers(patient: Patient) -> Iterator[Note]:
    apps = patient.names
    known = None if patient.app is None else patient.app.known()
    for name in apps:
        workers, now_us = patient.engine.run(health.workforce(name))
        due = patient.engine.run(health.due(name))
        yield from worker_health.workers(name, workers, due, now_us, known)
    if not apps:
        yield Note("note", "workers", "No app has stored anything here yet.", "dutiful worker")


def _shown(engine: Engine) -> str:
    return str(getattr(engine, "shown", None) or getattr(engine, "path", engine.url))


def _driver_said(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}"


def _hint(error: StoreError) -> str:
    if "unsupported startup parameter" in error.message:
        return "That is PgBouncer: add pooler=transaction to the URL's options."
    return error.hint
