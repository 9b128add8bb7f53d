"""Let jobs come to their gates when they are due, and rates grant what they allow: for workers and tests."""

from __future__ import annotations

from ..engines.contract import Engine
from ..operations import gates


def let_come(engine: Engine) -> int:
    """How many jobs moved. Each gate and each batch of jobs is a transaction of its own."""
    let = 0
    while True:
        come = engine.run(gates.come())
        let += come
        if come < gates.COME_MAX:
            break
    after = 0
    while rates := engine.run(gates.busy_rates(after)):
        let += sum(engine.run(gates.grant(rate)).starts for rate in rates)
        after = rates[-1]
    return let
