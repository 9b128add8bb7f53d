"""What the doctor says of the tasks that are declared: their limits, and how long their duties are known.

From the app's code, where that is at hand; else from what the workers have told the registry of it, which
knows less: then that is said, and not taken for well.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from msgspec import Struct

from ..app.app import App
from ..engines.contract import Engine
from ..model.durations import text
from ..model.spans import span
from ..operations import registry, verify
from .notes import Note, bad, named, note, skipped, well

DRAIN_US = 25_000_000
"""The shutdown budget of a worker that is told nothing else."""
CODE = "Give the app's code: --app MODULE:VAR."


class Declared(Struct, frozen=True):
    """What counts of a task. None: it has none, or (of ``remember_us``) it is not known here."""

    name: str
    delivery: str
    timeout_us: int | None
    once: bool
    remember_us: int | None = None
    late_us: int | None = None


def of_app(app: App) -> list[Declared]:
    """As the code declares them."""
    return [
        Declared(
            task.name,
            task.policy.delivery,
            task.policy.timeout_us,
            task.once is not None,
            task.policy.remember_us,
            None if task.policy.late is None else task.policy.late.after_us,
        )
        for task in app.tasks.values()
    ]


def of_store(engine: Engine, app: str) -> list[Declared]:
    """As the newest release of each told the registry when its worker began."""
    newest: dict[str, registry.TaskRow] = {}
    for row in engine.run(registry.tasks(app)):
        newest.setdefault(row.name, row)
    return [
        Declared(row.name, row.delivery, _timeout(row.facts.get("timeout_us")), bool(row.facts.get("once")))
        for row in newest.values()
    ]


def _timeout(fact: Any) -> int | None:
    return fact if isinstance(fact, int) else None


def timeouts(tasks: Sequence[Declared], drain_us: int | None) -> Iterator[Note]:
    """A task's timeout against the shutdown budget; ``drain_us`` None: the worker's own default."""
    budget_us = DRAIN_US if drain_us is None else drain_us
    budget = f"{text(budget_us)}, the {'default' if drain_us is None else 'given'} shutdown budget"
    without = [task.name for task in tasks if task.timeout_us is None]
    longer = [task for task in tasks if task.timeout_us is not None and task.timeout_us > budget_us]
    once = [task for task in longer if task.delivery == "at_most_once"]
    again = [task for task in longer if task.delivery != "at_most_once"]
    if without:
        yield note(
            "timeouts",
            f"{len(without)} of {len(tasks)} tasks have none: {named(without)}. What hangs keeps its slot.",
            '@app.task(timeout="20s"); at length: dutiful explain DU041',
        )
    for found, put in ((once, bad), (again, note)):
        if found:
            most = max(found, key=lambda task: task.timeout_us or 0)
            assert most.timeout_us is not None
            fate = "in doubt, which a person must settle" if put is bad else "run again"
            yield put(
                "timeouts",
                f"{named([task.name for task in found])}: up to {text(most.timeout_us)}, longer than"
                f" {budget}. A deploy cuts off what runs longer, and it is {fate}.",
                f"dutiful worker --drain-timeout {text(most.timeout_us)} (and as much in systemd's"
                " TimeoutStopSec, or the like); or a shorter timeout=. If your workers are given more:"
                " dutiful doctor --drain-timeout SPAN",
            )
    if not without and not longer:
        yield well("timeouts", f"Each task has one, none longer than {budget}." if tasks else "No task.")


def horizon(engine: Engine, app: str, tasks: Sequence[Declared]) -> Iterator[Note]:
    """I10: a duty is known for as long as it may still be asked for."""
    finding = engine.run(verify.look("verify_horizon", app))
    if finding is not None:
        rows = "; ".join(f"{row['id']} {row['problem']} ({row['seen']})" for row in finding.rows[:3])
        yield bad(
            "ledger horizon",
            f"{finding.summary}: {rows}.",
            "A shorter window= of that reconciliation, or a longer remember= of its task.",
        )
    keyed = [task for task in tasks if task.once and task.delivery != "exactly_once"]
    if any(task.remember_us is None for task in keyed):
        yield skipped("ledger horizon", "the registry does not tell how long duties are remembered.", CODE)
        return
    short = [task for task in keyed if (task.late_us or 0) > (task.remember_us or 0)]
    for task in short:
        yield bad(
            "ledger horizon",
            f"{task.name} may run {span(task.late_us or 0)} late, but a done duty is forgotten after "
            f"{span(task.remember_us or 0)}: asked for again in between, it is done twice.",
            f'@app.task(remember="{text(task.late_us or 0)}"), or a smaller late=.',
        )
    if finding is None and not short:
        least = min((task.remember_us or 0 for task in keyed), default=None)
        for_least = "" if least is None else f" for at least {span(least)}, and"
        yield well("ledger horizon", f"Duties are remembered{for_least} as long as they may be asked for.")
