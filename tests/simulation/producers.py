"""Producers of a simulated world: they enqueue, ask again when they get no answer, and ask twice at times."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dutiful.model.errors import DutifulError
from tests.simulation import shop
from tests.simulation.scheduler import SECOND

if TYPE_CHECKING:
    from tests.simulation.simulation import Simulation

KEYS = 6
"""How many duties there are of each task that has a key."""

TRIES = 5


def start_producer(simulation: Simulation) -> None:
    """A process that enqueues, until all is enqueued; a killed one is replaced."""
    world, chance = simulation.world, simulation.chance
    process = simulation.new_process("producer")
    simulation.producing += 1
    finished = False

    def main() -> None:
        nonlocal finished
        simulation.new_app(process)
        for n in simulation.numbers:
            pause_s = chance.expovariate(simulation.jobs_wanted / simulation.trouble_s)
            world.sleep(round(pause_s * SECOND))
            produce(simulation, n)
        finished = True
        world.kill(process)

    def died() -> None:
        simulation.producing -= 1
        if not finished:
            start_producer(simulation)

    process.on_death.append(died)
    world.spawn(process, "main", main)


def produce(simulation: Simulation, n: int) -> None:
    """One request, once or twice."""
    chance = simulation.chance
    [name] = chance.choices(list(simulation.mix), list(simulation.mix.values()))
    task = shop.TASKS[name]
    options: dict[str, Any] = {}
    if task.once is not None:
        n %= KEYS
        if chance.random() < 0.15:
            options |= {"again": "once more", "actor": "ann"}
    else:
        options["id"] = shop.app.new_id()
    if chance.random() < 0.25:
        options["run_in"] = chance.uniform(0, 10)
    if chance.random() < 0.2:
        options["priority"] = chance.choice((-5, 5))
    for _ in range(1 + simulation.faults.hits("enqueue_twice")):
        ask(simulation, task, n, options)


def ask(simulation: Simulation, task: Any, n: int, options: dict[str, Any]) -> None:
    """Ask until there is an answer, some times; what got none may be stored or not."""
    for _ in range(TRIES):
        try:
            handle = task.using(**options).enqueue(n)
        except DutifulError as error:
            simulation.note("enqueue refused", n, type(error).__name__)
            simulation.world.sleep(round(simulation.chance.uniform(0.1, 3) * SECOND))
            continue
        simulation.accepted(handle, task.name, n)
        return
