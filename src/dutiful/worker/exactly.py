"""Carry out an exactly_once run: try after try of the whole body, until its work is kept or it failed."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

from ..app.running import Run
from ..app.transactions import AsyncTransaction, Transaction
from ..model.jobs import Ending, Lease
from .run import abody, body, completed, failed
from .work import RERUNS_MAX, AsyncWork, PlainWork, Superfluous, pause_before

if TYPE_CHECKING:
    from ..app.app import App
    from ..app.task import Task


def exactly(app: App, task: Task[..., Any], lease: Lease, run: Run) -> Ending:
    """The body and its one commit, in this thread; the ending says what is left to be stored."""
    for rerun in range(RERUNS_MAX + 1):
        if rerun:
            time.sleep(pause_before(rerun))
        work = PlainWork(app, task, lease)
        run._means = work
        try:
            given = {n: work.transaction() for n, kind in task.codec.injected.items() if kind is Transaction}
            value = body(app, task, lease, run, given)
            if work.superfluous is not None:  # a body that swallowed it has done nothing all the same
                raise work.superfluous
            ending = work.finish(completed(task, lease, value))
            if ending is not None:
                return ending
        except Superfluous as found:
            return work.done_before(found.done)
        except BaseException as error:
            work.rollback()
            if work.superfluous is not None:
                return work.done_before(work.superfluous.done)
            if (busy := work.busy(error)) is not None:
                return busy
            if rerun < RERUNS_MAX and work.again(error) and not run.over:
                continue
            return failed(task, lease, work.explained(error))
        finally:
            work.rollback()
    return work.over("snooze", delay_us=0, charged=False)


async def aexactly(app: App, task: Task[..., Any], lease: Lease, run: Run) -> Ending:
    """The same for an async body. CancelledError is the caller's to explain; the work is taken back."""
    for rerun in range(RERUNS_MAX + 1):
        if rerun:
            await asyncio.sleep(pause_before(rerun))
        work = AsyncWork(app, task, lease)
        run._means = work
        try:
            given = {
                n: await work.atransaction()
                for n, kind in task.codec.injected.items()
                if kind is AsyncTransaction
            }
            value = await abody(app, task, lease, run, given)
            if work.superfluous is not None:
                raise work.superfluous
            ending = await work.finish(completed(task, lease, value))
            if ending is not None:
                return ending
        except Superfluous as found:
            return work.done_before(found.done)
        except asyncio.CancelledError:
            raise
        except BaseException as error:
            await work.rollback()
            if work.superfluous is not None:
                return work.done_before(work.superfluous.done)
            if (busy := work.busy(error)) is not None:
                return busy
            if rerun < RERUNS_MAX and work.again(error) and not run.over:
                continue
            return failed(task, lease, work.explained(error))
        finally:
            await work.rollback()
    return work.over("snooze", delay_us=0, charged=False)
