"""Let jobs come to their gates when they are due, and rates grant what they allow: for workers and tests."""

from __future__ import annotations

from collections.abc import Iterator

from ..engines.contract import Engine
from ..operations import gates


def arrivals(engine: Engine) -> Iterator[int]:
    """How many jobs came to their gates, batch by batch. Each is a transaction of its own."""
    while True:
        yield (come := engine.run(gates.come()))
        if come < gates.COME_MAX:
            return


def busy(engine: Engine) -> Iterator[int]:
    """The rates at which somebody stands."""
    after = 0
    while True:
        rates = engine.run(gates.busy_rates(after))
        yield from rates
        if len(rates) < gates.GATES_MAX:
            return
        after = rates[-1]


def let_come(engine: Engine) -> int:
    """How many jobs moved. Each gate and each batch of jobs is a transaction of its own."""
    return sum(arrivals(engine)) + sum(engine.run(gates.grant(rate)).starts for rate in busy(engine))
