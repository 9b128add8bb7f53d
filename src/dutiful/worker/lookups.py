"""Doubts that settle themselves: the task's ``lookup=`` is asked whether its body was done.

Found: the doubt is confirmed, with what the lookup gave as evidence. Surely not: it is refuted, and the
body begins anew; but only if the old run was proven dead, and for long enough, *before* the lookup was
asked, for what it does later nobody has looked up. Unsure, or an error: asked again, ever later. The thread
is one of its own, so that a lookup which hangs holds up nothing else.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Literal

from ..app import events
from ..app.events import emit
from ..model.durations import text
from ..model.effects import QUIET_US
from ..model.errors import DutifulError, NotProven, StateError
from ..model.jobs import RESULT_BYTES_MAX
from ..model.payload import encode_result
from ..operations import doubts, workers
from .masking import masked

if TYPE_CHECKING:
    from ..app.app import App
    from .worker import Worker

logger = logging.getLogger("dutiful.worker")

LOOKUP_S = 15.0
"""How often the workers of an app, together, see to its doubts."""
PAUSE_S = 30.0
PAUSE_MAX_S = 3600.0
"""A doubt that a lookup left is asked about again after ``PAUSE_S``, then after twice that, and so on."""
ASYNC_TIMEOUT_S = 60.0
"""How long an async lookup may take. (A plain one cannot be stopped: its client needs a timeout.)"""
PAGE = 100
ACTOR = "lookup"

Found = Literal["confirmed", "refuted", "left", "over"]
Ask = Callable[[Callable[..., Any], dict[str, Any]], Any]
"""Calls a lookup, plain or async, and returns what it gave."""


def look_up(app: App, job_id: str, ask: Ask, *, quiet_us: int = QUIET_US) -> Found:
    """Ask the lookup of one job in doubt, and act on what it says.

    ``left``: it cannot tell, or "surely not" cannot be acted on yet. ``over``: somebody else decided.
    """
    about: dict[str, Any] = {"job_id": job_id}
    try:
        doubt, effects = app.engine.run(doubts.show(app.name, job_id))
    except StateError:
        return "over"
    about["task"] = doubt.task
    runs = [doubt.last, *(effect.last for effect in effects)]
    unproven = [missing for run in runs if (missing := run.missing(doubt.now_us, quiet_us))]
    task = app.find_task(doubt.task)
    assert task.lookup is not None
    try:
        given = task.codec.with_defaults(task.codec.decode(doubt.args))
        value = ask(task.lookup.function, task.lookup.arguments(given))
    except Exception as error:
        emit(
            logger,
            logging.WARNING,
            events.LOOKUP_UNSURE,
            **about,
            error=masked(task, doubt.args, repr(error)),
        )
        return "left"
    try:
        if value is not None:
            kept, why = _evidence(value)
            app.engine.run(
                doubts.confirm(app.name, job_id, actor=ACTOR, reason=why, result=kept, run_no=doubt.run_no)
            )
            emit(logger, logging.INFO, events.DOUBT_SETTLED, **about, how="confirmed")
            return "confirmed"
        if unproven:
            emit(logger, logging.INFO, events.LOOKUP_UNSURE, **about, error=f"surely not, but {unproven[0]}")
            return "left"
        why = "the lookup found nothing"
        job = app.engine.run(
            doubts.refute(app.name, job_id, actor=ACTOR, reason=why, quiet_us=quiet_us, run_no=doubt.run_no)
        )
    except NotProven:
        return "left"
    except StateError:
        return "over"
    app.engine.wake(job.queue)
    emit(logger, logging.INFO, events.DOUBT_SETTLED, **about, how="refuted")
    return "refuted"


def _evidence(value: Any) -> tuple[bytes | None, str]:
    """What a lookup found, as it is stored, or why it cannot be; found it was all the same."""
    try:
        return encode_result(value, RESULT_BYTES_MAX), "the lookup found it"
    except DutifulError as error:
        return None, f"the lookup found it; what it gave could not be stored: {error.message}"


def ask_here(function: Callable[..., Any], arguments: dict[str, Any]) -> Any:
    """Call a lookup in this thread, an async one in a loop of its own."""
    value = function(**arguments)
    return asyncio.run(_awaited(value)) if asyncio.iscoroutine(value) else value


async def _awaited(value: Any) -> Any:
    return await value


def names_of(app: App) -> list[str]:
    """The names that jobs of tasks with a lookup may carry."""
    return [name for name in app.known() if app.find_task(name).lookup is not None]


def in_doubt(app: App, name: str) -> Iterator[doubts.Doubt]:
    """The jobs of one name that are in doubt now, the latest first."""
    after: doubts.Cursor | None = None
    while True:
        found = app.engine.run(doubts.page(app.name, task=name, after=after, limit=PAGE))
        yield from found
        if len(found) < PAGE:
            return
        after = (found[-1].doubt_at_us, found[-1].id)


class Lookups:
    """Sees to the doubts of an app from one thread, in turn with its other workers."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker
        self._names = names_of(worker.app)
        self._pauses: dict[tuple[str, int], tuple[float, float]] = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._work, name="dutiful-lookups", daemon=True)

    @staticmethod
    def on_loop(app: App) -> bool:
        """Whether any of them wants the worker's event loop."""
        return any(task.lookup is not None and task.lookup.is_async for task in app.tasks.values())

    def start(self) -> None:
        """Begin, if there is anything to ask."""
        if self._names:
            self._thread.start()

    def stop(self) -> None:
        """End after the lookup that is under way; one that hangs is left to itself."""
        self._stop.set()
        if self._thread.ident is not None:
            self._thread.join(1.0)

    def _work(self) -> None:
        turn = f"lookup:{self._worker.app.name}"
        while not self._stop.wait(LOOKUP_S / 3):
            try:
                if self._worker.engine.run(workers.turn(turn, round(LOOKUP_S * 1e6))):
                    self.round()
            except DutifulError as error:
                emit(logger, logging.WARNING, events.CHORE_FAILED, chore="lookup", error=str(error))
            except Exception:
                logger.exception("chore_failed chore='lookup'")

    def round(self) -> None:
        """Ask about each doubt whose time has come."""
        seen = set()
        for name in self._names:
            for doubt in in_doubt(self._worker.app, name):
                run = (doubt.id, doubt.run_no)
                seen.add(run)
                at, pause = self._pauses.get(run, (0.0, PAUSE_S))
                if self._stop.is_set() or time.monotonic() < at:
                    continue
                if look_up(self._worker.app, doubt.id, self._ask) == "left":
                    self._pauses[run] = (time.monotonic() + pause, min(2 * pause, PAUSE_MAX_S))
        self._pauses = {run: pause for run, pause in self._pauses.items() if run in seen}

    def _ask(self, function: Callable[..., Any], arguments: dict[str, Any]) -> Any:
        if not asyncio.iscoroutinefunction(function):
            return function(**arguments)
        try:
            return self._worker.loop.call(lambda: asyncio.wait_for(function(**arguments), ASYNC_TIMEOUT_S))
        except TimeoutError:
            us = round(ASYNC_TIMEOUT_S * 1e6)
            raise TimeoutError(f"the lookup took longer than {text(us)}") from None
