"""A worker's look at the invariants: the newest rows, and as many older ones from a place left to chance.

So a breach among the newest rows is seen within a minute or so, and one among the old ones at some time,
whatever the tables' size. What is found is logged, and kept until something newer is found.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from ..app import events
from ..app.events import emit
from ..engines.contract import Engine
from ..model.ids import id_between
from ..operations import verify
from ..operations.verify import Finding

logger = logging.getLogger("dutiful.worker")

JOBS_LOGGED = 3


def look_over(
    engine: Engine, app: str, chance: float, stopped: Callable[[], bool] = lambda: False
) -> list[Finding]:
    """Look once; ``chance`` (0 to 1) chooses the place. On PostgreSQL all checks are one statement.

    A check that cannot be carried out is logged and leaves what is kept of it as it was: to find it out, each
    is a transaction of its own then, and on SQLite always, where a long read keeps the log from being cut.
    """
    place = place_of(engine.run(verify.spans()), chance)
    looks = _together(engine, app, place) if engine.name == "postgres" and not stopped() else None
    if looks is None:
        looks = _one_by_one(engine, app, place, stopped)
    for found in looks.values():
        if found is not None:
            _say(found)
    engine.run(verify.note(app, looks))
    return [found for found in looks.values() if found is not None]


def _together(engine: Engine, app: str, place: str | None) -> dict[str, Finding | None] | None:
    try:
        looks = engine.run(verify.looks(app))
        older = {} if place is None else engine.run(verify.looks(app, before=place))
    except Exception:  # also the database's own: a time limit, a right that is missing; of which check?
        return None
    return {name: found or older.get(name) for name, found in looks.items()}


def _one_by_one(
    engine: Engine, app: str, place: str | None, stopped: Callable[[], bool]
) -> dict[str, Finding | None]:
    looks: dict[str, Finding | None] = {}
    for name, _, _ in verify.CHECKS:
        if stopped():
            break
        try:
            found = engine.run(verify.look(name, app))
            if found is None and place is not None:
                found = engine.run(verify.look(name, app, before=place))
        except Exception as error:
            emit(logger, logging.WARNING, events.CHORE_FAILED, chore=name, error=str(error))
            continue
        looks[name] = found
    return looks


def place_of(spans: list[tuple[str, str]], chance: float) -> str | None:
    """An id below which to look: chance chooses one of the tables, and then a moment in its life."""
    if not spans:
        return None
    table, share = divmod(chance * len(spans), 1)
    low, high = spans[min(int(table), len(spans) - 1)]
    return id_between(low, high, share)


def _say(found: Finding) -> None:
    emit(
        logger,
        logging.ERROR,
        events.INVARIANT_BROKEN,
        invariant=found.invariant,
        summary=found.summary,
        jobs=[row["id"] for row in found.rows[:JOBS_LOGGED]],
        problem=found.rows[0]["problem"],
    )
