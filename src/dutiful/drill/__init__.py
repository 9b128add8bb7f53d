"""The drill: what becomes of a task that is run twice, cut off anywhere, overtaken, or run late.

:func:`drill` runs it on scratch copies of a fixture, by the real way of its delivery, and compares what the
database holds and what the world outside was told with two undisturbed runs.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ..app.task import Task
from .boundaries import UnseenIO
from .drilling import Drilling
from .provider import Answer, Answers, Call, Provider
from .report import Finding, Report
from .stores import Fixture

__all__ = ["Answer", "Call", "Finding", "Provider", "Report", "UnseenIO", "drill"]

Arguments = Mapping[str, Any] | Sequence[Any]


def drill(
    task: Task[..., Any],
    args: Arguments = (),
    fixture: Fixture = None,
    *,
    answers: Answers = None,
    volatile: Iterable[str] = (),
    siblings: Iterable[Arguments] = (),
    golden: Iterable[Arguments] = (),
    only: str | None = None,
    limit: int | None = None,
    first: bool = False,
    seed: int = 0,
    process: bool = False,
) -> Report:
    """Drill one task with these arguments (a dict of keywords, or a sequence), on copies of ``fixture``.

    ``fixture`` is SQL, a file of it, or a function that is given a connection: the tables and rows before
    the job runs. The app's own database is neither read nor written; on PostgreSQL its server is used, for
    databases that are made and dropped. ``answers`` is what third parties reply, by "METHOD url", or a
    function of the call and the provider. ``volatile`` are columns ("receipts.sent_at") known to differ from
    run to run. ``siblings`` are arguments of other duties that may come in any order, ``golden`` those that
    an older version stored. ``only`` plays one kind of scenario ("X3"), ``limit`` so many in all, a fair part
    of each kind, picked by ``seed``; ``first`` ends with the first finding. ``process``: who is cut off is a
    child process, which ends there by ``os._exit``; else an exception does it and connections are closed.
    """
    drilling = Drilling(
        task,
        _split(args),
        fixture,
        answers=answers,
        volatile=volatile,
        siblings=[_split(one) for one in siblings],
        golden=[_split(one) for one in golden],
        seed=seed,
        process=process,
    )
    return drilling.run(only, limit, first)


def _split(args: Arguments) -> tuple[tuple[Any, ...], dict[str, Any]]:
    return ((), dict(args)) if isinstance(args, Mapping) else (tuple(args), {})
