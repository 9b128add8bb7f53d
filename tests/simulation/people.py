"""People of a simulated world: they cancel, retry and waive what there is, and decide doubts rightly.

Rightly, for what a wrong attestation does is not promised. So who decides looks at what really happened
to the body, or at the provider; but whether an earlier caller is dead, and for long enough, only the
product says.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from dutiful.model.errors import DutifulError
from dutiful.operations import doubts, people
from dutiful.operations.plan import Operation
from tests.simulation import shop
from tests.simulation.provider import QUIET_US
from tests.simulation.scheduler import SECOND

if TYPE_CHECKING:
    from tests.simulation.simulation import Simulation

WHO: dict[str, Any] = {"actor": "ann", "reason": "because"}


def start_person(simulation: Simulation) -> None:
    """Somebody who acts every few seconds, while things go wrong."""
    process = simulation.new_process("person")
    chance = simulation.chance
    simulation.acting += 1

    def main() -> None:
        simulation.new_app(process)
        while simulation.faults.on:
            simulation.world.sleep(round(chance.uniform(0.5, 8) * SECOND))
            if simulation.acknowledged:
                job = chance.choice(sorted(simulation.acknowledged))
                act(simulation, job, chance.choice(VERBS))
            if chance.random() < 0.7:
                decide_doubts(simulation)
        simulation.acting -= 1

    simulation.world.spawn(process, "main", main)


def act(simulation: Simulation, job: str, verb: Callable[..., Operation[Any]]) -> Any:
    """One verb; a refusal is an answer, too."""
    try:
        answer = shop.app.engine.run(verb("shop", job, **WHO))
    except DutifulError as error:
        simulation.note("person refused", job, type(error).__name__)
        return None
    simulation.note("person", getattr(verb, "__name__", "decides"), job)
    return answer


VERBS = (people.retry, people.retry, people.cancel, people.cancel, doubts.waive, doubts.unwaive)


def decide_doubts(simulation: Simulation) -> None:
    """Decide what is in doubt, of whatever can be known."""
    try:
        found = shop.app.engine.run(doubts.page("shop"))
    except DutifulError:
        return
    for doubt in found:
        if doubt.started_at_us is not None:
            _decide_start(simulation, doubt)
        else:
            _decide_effect(simulation, doubt)


def _decide_start(simulation: Simulation, doubt: doubts.Doubt) -> None:
    run = (doubt.id, doubt.run_no)
    if run in simulation.bodies.returned:
        act(
            simulation, doubt.id, lambda app, job, **who: doubts.confirm(app, job, run_no=doubt.run_no, **who)
        )
        return
    owner = simulation.bodies.owners.get(run)  # none: it has not begun, and nobody knows whether it will
    if run in simulation.bodies.raised or (owner is not None and owner.dead):
        act(simulation, doubt.id, _refuted(doubt))


def _decide_effect(simulation: Simulation, doubt: doubts.Doubt) -> None:
    seen = act(simulation, doubt.id, lambda app, job, **who: doubts.show(app, job))
    if seen is None or not seen[1]:
        return
    charged = simulation.provider.result(seen[1][0].key)
    if charged is not None:
        data = json.dumps(charged).encode()
        act(
            simulation,
            doubt.id,
            lambda app, job, **who: doubts.resume(app, job, result=data, run_no=doubt.run_no, **who),
        )
    else:
        act(simulation, doubt.id, _refuted(doubt))


def _refuted(doubt: doubts.Doubt) -> Callable[..., Operation[Any]]:
    return lambda app, job, **who: doubts.refute(app, job, quiet_us=QUIET_US, run_no=doubt.run_no, **who)
