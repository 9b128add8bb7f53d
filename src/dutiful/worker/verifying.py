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
    """Look once, with each check a transaction of its own; ``chance`` (0 to 1) chooses the place.

    A check that cannot be carried out is logged and leaves what is kept of it as it was.
    """
    place = place_of(engine.run(verify.spans()), chance)
    looks: dict[str, Finding | None] = {}
    for name, _, _ in verify.CHECKS:
        if stopped():
            break
        try:
            found = engine.run(verify.look(name, app))
            if found is None and place is not None:
                found = engine.run(verify.look(name, app, before=place))
        except Exception as error:  # also the database's own: a time limit, a right that is missing
            emit(logger, logging.WARNING, events.CHORE_FAILED, chore=name, error=str(error))
            continue
        looks[name] = found
        if found is not None:
            _say(found)
    engine.run(verify.note(app, looks))
    return [found for found in looks.values() if found is not None]


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
