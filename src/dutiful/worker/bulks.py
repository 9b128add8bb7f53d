"""Walking bulk operations: by the process that began one, and by any worker where that one is gone."""

from __future__ import annotations

import logging
from collections.abc import Callable

from ..app import events
from ..app.events import emit
from ..engines.contract import Engine
from ..model.errors import DutifulError, StoreError
from ..operations import audit, bulk

logger = logging.getLogger("dutiful.bulk")

TRIES = 3
"""How often a batch that raises is tried, before its items are taken one by one."""

WAIT_S_MAX = 1.0

Wait = Callable[[float], bool]
"""Waits so many seconds; true: stop."""


def walk(engine: Engine, bulk_id: str, walker: str, wait: Wait, *, most: int = bulk.BATCH) -> bool:
    """Walk one until it is over, is no longer ours, or ``wait`` says stop; returns whether it is over.

    A batch that raises though the store is well is taken apart: the item that cannot be carried out is
    marked as failed, with what was raised, and the rest goes on. Raises StoreError.
    """
    failures, alone = 0, 0
    while True:
        try:
            step = engine.run(bulk.step(bulk_id, walker, most=1 if alone else most))
        except StoreError:
            raise
        except Exception as error:
            failures += 1
            if alone and failures > 1:
                emit(logger, logging.ERROR, events.BULK_ITEM_FAILED, bulk=bulk_id, error=repr(error))
                engine.run(bulk.fail(bulk_id, walker, f"{type(error).__name__}: {error}"[:300]))
                failures = 0
            elif failures >= TRIES and not alone:
                alone, failures = most, 0
            continue
        failures, alone = 0, max(0, alone - step.count)
        for queue in step.queues:
            engine.wake(queue)
        if step.count:
            chain(engine)
        if step.over or not step.held:
            return step.over
        if wait(min(step.wait_us / 1e6, WAIT_S_MAX)):
            engine.run(bulk.leave(bulk_id, walker))
            return False


def walk_all(engine: Engine, app: str, walker: str, wait: Wait) -> bool:
    """Go on with every bulk operation of an app that nobody walks; returns whether one is not over."""
    left = False
    for bulk_id in engine.run(bulk.to_walk(app)):
        left = not walk(engine, bulk_id, walker, wait) or left
    return left


def chain(engine: Engine) -> None:
    """Put what people did into the audit's chain; if that fails now, somebody does it later."""
    try:
        while engine.run(audit.chain()) == audit.PIECE:
            pass
    except DutifulError:
        pass
