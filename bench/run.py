"""The order of things: rounds, in each of them every call, in each of them every contestant in turn.

Interleaving spreads the machine's moods over all; who goes first changes from round to round. Idle workers
are measured once, all at the same time, because they do nothing. Calls of a churned store come last.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from bench.calls import Outcome, call
from bench.contestants import CONTESTANTS, FLOOR, OURS, Contestant
from bench.measures import CALLS, STATES_OF_PEERS, WORKERS, Measure
from bench.results import Results
from bench.servers import Servers
from bench.sizes import Sizes

OURS_ALONE = ("drain_async", "workers", "prune", "memory", "stream", "verify", "records")
NO_PEER = (*OURS_ALONE, "drain_once", "drain_group")
STOCK_S = 600.0  # what the making of a million jobs may take
VERIFY_FILL_S = 600.0  # what the making of a stock for the checker may take
RECORDS_S = 240.0  # what six empty stores in turn may take
HELD_CHURN_S = 180.0  # what dutiful and its floor may take for their churn


@dataclass(frozen=True)
class Plan:
    """What to run: which rows, which peers, how large."""

    measures: Sequence[Measure]
    peers: Sequence[str]
    sizes: Sizes

    def calls(self, engine: str) -> list[str]:
        """The calls that these rows need."""
        needed = {measure.call for measure in self.measures if measure.engine == engine}
        return [name for name in CALLS if name in needed]

    def engines(self) -> list[str]:
        return list(dict.fromkeys(measure.engine for measure in self.measures))

    def contestants(self, engine: str, method: str, number: int = 0) -> list[Contestant]:
        """Who takes part in that call in that round (from 0), whoever goes first first."""
        found = [
            contestant
            for contestant in CONTESTANTS
            if contestant.measured_on(engine)
            and (not contestant.is_peer or contestant.name in self.peers)
            and self._takes_part(contestant, method, number)
        ]
        start = number % max(1, len(found))
        return [*found[start:], *found[:start]]

    def _takes_part(self, contestant: Contestant, call: str, number: int) -> bool:
        method, _, how = call.partition(":")
        if method in NO_PEER and contestant.is_peer:
            return False
        if method in ("state", "prune", "memory") and number >= self.sizes.state_rounds:
            return False
        if method in OURS_ALONE or (call not in ("latency", "idle:1") and method in ("latency", "idle")):
            return contestant.plays == OURS
        if method == "gates":  # (SQLite's have no floor, nor has an enqueue of one)
            return contestant.plays == OURS or (contestant.name == "floor-postgres" and not how)
        if method == "held":
            if contestant.store != "postgres":
                return False
            return not contestant.is_peer or number < self.sizes.held_peer_rounds
        if method == "state":
            if contestant.plays == FLOOR:
                return False
            wanted = self.sizes.state_peers and how in STATES_OF_PEERS and contestant.store != "redis"
            return not contestant.is_peer or wanted
        return True

    def options(self, contestant: Contestant, call: str) -> dict[str, Any]:
        method = call.partition(":")[0]
        budget_s = self.sizes.held_peers_s if contestant.is_peer else HELD_CHURN_S
        if method == "held":
            return {"seconds": self.sizes.seconds, "churn": self.sizes.held_churn, "budget_s": budget_s}
        if method == "workers":
            return {"seconds": self.sizes.seconds, "counts": WORKERS}
        if method == "state":
            sizes = {"seconds": self.sizes.state_s, "stock": self.sizes.state_stock}
            return {**sizes, "budget_s": STOCK_S}
        if method == "prune":
            sizes = {"seconds": 2 * self.sizes.seconds, "stock": self.sizes.state_stock}
            return {**sizes, "budget_s": STOCK_S}
        if method == "memory":
            return {"first": self.sizes.memory_first, "last": self.sizes.memory_last, "budget_s": STOCK_S}
        if method == "stream":
            return {"jobs": self.sizes.stream_jobs, "budget_s": STOCK_S}
        if method == "verify":
            sizes = {"seconds": self.sizes.verify_s, "stock": self.sizes.verify_stock}
            return {**sizes, "budget_s": VERIFY_FILL_S}
        if method == "records":
            return {"seconds": self.sizes.seconds, "budget_s": RECORDS_S}
        if method == "latency":
            return {"jobs": self.sizes.latency_jobs}
        return {"seconds": self.sizes.idle_s if method == "idle" else self.sizes.seconds}


def run(plan: Plan) -> Results:
    """Carry the plan out, saying on standard error how far it is."""
    results = Results()
    began = time.monotonic()
    with Servers() as servers:
        for number in range(plan.sizes.rounds):
            heading = f"round {number + 1}/{plan.sizes.rounds}"
            for engine in plan.engines():
                for method in plan.calls(engine):
                    for contestant in () if _idles(method) else plan.contestants(engine, method, number):
                        outcome = _measure(servers, plan, contestant, method)
                        results.add(engine, contestant, method, outcome)
                        say(began, heading, engine, method, contestant, outcome)
        for engine, method, contestant, outcome in _idle(servers, plan):
            results.add(engine, contestant, method, outcome)
            say(began, "together", engine, method, contestant, outcome)
    return results


def _idles(call: str) -> bool:
    return call.startswith("idle")


def _measure(servers: Servers, plan: Plan, contestant: Contestant, method: str) -> Outcome:
    options = plan.options(contestant, method)
    return call(servers, contestant, method, options, plan.sizes.timeout_s + options.get("budget_s", 0))


def _idle(servers: Servers, plan: Plan) -> Iterator[tuple[str, str, Contestant, Outcome]]:
    asked = [
        (engine, method, contestant)
        for engine in plan.engines()
        for method in plan.calls(engine)
        if _idles(method)
        for contestant in plan.contestants(engine, method)
    ]
    with ThreadPoolExecutor(max_workers=max(1, len(asked))) as pool:
        pending = [
            pool.submit(_measure, servers, plan, contestant, method) for _, method, contestant in asked
        ]
        for (engine, method, contestant), outcome in zip(asked, pending, strict=True):
            yield engine, method, contestant, outcome.result()


def brief(call: str, outcome: Outcome) -> str:
    """One outcome in a few words."""
    method = call.partition(":")[0]
    if outcome.problem:
        return outcome.problem.splitlines()[0]
    if method == "latency":
        waits = sorted(outcome.value)
        return f"median {1_000 * waits[len(waits) // 2]:.2f} ms, worst {1_000 * waits[-1]:.2f} ms"
    if method == "idle":
        queries = outcome.value["queries_per_s"]
        counted = "" if queries is None else f", {queries:.1f} queries/s"
        return f"{outcome.value['cpu_percent']:.2f} % of a core{counted}"
    if method in ("gates", "records"):
        return "CPU " + ", ".join(f"{name} {us:.0f} µs" for name, us in outcome.value.items())
    if method == "verify":
        value = outcome.value
        cpu = "" if value["cpu_s"] is None else f", {1_000 * value['cpu_s']:.0f} ms of CPU"
        lost = f"{1_000 * value['lost_s']:.0f} ms of a drain for each of {value['passes']}"
        return f"a pass {1_000 * value['pass_s']:.0f} ms{cpu}; {lost}"
    if method in ("workers", "prune", "memory", "stream"):
        return ", ".join(f"{name} {figure:,.1f}" for name, figure in outcome.value.items())
    if method in ("held", "state") or method.startswith("drain"):
        churned = f" after {outcome.value['churned']:,} jobs" if method == "held" else ""
        if method == "state":
            churned = f" ({100 * outcome.value['share']:.0f} %) beside {outcome.value['of']:,} jobs"
        cpu = outcome.value["cpu_us"]
        return f"{outcome.value['jobs_per_s']:,.0f}/s{churned}" + (
            "" if cpu is None else f", {cpu:.0f} µs of CPU"
        )
    return f"{outcome.value:,.0f}/s"


def say(
    began: float, heading: str, engine: str, method: str, contestant: Contestant, outcome: Outcome
) -> None:
    """One line of progress."""
    what = f"{heading:<10} {engine:<9}{method:<17}{contestant.name:<15}{brief(method, outcome)}"
    print(f"{time.monotonic() - began:5.0f} s  {what}", file=sys.stderr, flush=True)
