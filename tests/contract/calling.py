"""Bodies that call the world outside: an other side that counts, and runs to call it from."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from dutiful.app.effects import EffectMeans
from dutiful.app.running import Run
from dutiful.model.jobs import Lease
from dutiful.worker.run import run_of
from tests.contract.stores import APP
from tests.contract.world import World


@dataclass
class Provider:
    """The other side: applies what it is told, once a key if it has keys, and fails as it is told."""

    applied: list[str] = field(default_factory=list)
    calls: int = 0
    lookups: int = 0
    failing: list[tuple[bool, BaseException]] = field(default_factory=list)
    """For the next calls: whether it is applied, and what comes back instead of an answer."""
    answer: Any = None
    """What a lookup gives, or raises."""
    while_called: Callable[[], None] = field(default=lambda: None)

    def do(self, key: str) -> Any:
        self.calls += 1
        self.while_called()
        applied, error = self.failing.pop(0) if self.failing else (True, None)
        if applied and key not in self.applied:
            self.applied.append(key)
        if error is not None:
            raise error
        return {"charge": self.applied.index(key)}

    def lookup(self, key: str) -> Any:
        self.lookups += 1
        if isinstance(self.answer, BaseException):
            raise self.answer
        return self.answer


class Caller:
    """One run of a job, and how its body calls."""

    def __init__(self, world: World, lease: Lease, provider: Provider) -> None:
        self.world = world
        self.lease = lease
        self.provider = provider
        self.run: Run = run_of(lease)
        self.run._effects = EffectMeans(world.engine, APP, lease.token)

    def call(self, name: str = "pay", **terms: Any) -> Any:
        """``run.effect``, or ``run.aeffect`` with async functions, as the world's face is."""
        given: dict[str, Any] = {"do": self.provider.do, **terms}
        if given.get("lookup") is True:
            given["lookup"] = self.provider.lookup
        if self.world.face == "run":
            return self.run.effect(name, **given)
        for which in ("do", "lookup"):
            if which in given:
                given[which] = _awaited(given[which])
        assert self.world._loop is not None
        return self.world._loop.run(self.run.aeffect(name, **given), context=contextvars.copy_context())

    def row(self, name: str = "pay") -> dict[str, Any]:
        """The stored effect."""
        [row] = [row for row in self.world.table("effect") if row["name"] == name]
        return row


class Callers:
    """A job of one duty, and run after run of it."""

    def __init__(self, world: World, provider: Provider | None = None) -> None:
        self.world = world
        self.provider = provider or Provider()
        self.job = world.keyed()
        self.worker = 0

    def next(self) -> Caller:
        """The job's next run, by a worker of its own."""
        self.worker = self.world.worker()
        [lease] = self.world.claim(self.worker)
        assert lease.job_id == self.job
        return Caller(self.world, lease, self.provider)

    def lapsed(self, caller: Caller, how: str = "lapsed") -> Caller:
        """The caller's worker is gone in this way, and another run has the job."""
        from dutiful.operations import workers

        run = self.world.run
        if how == "left":
            run(workers.leave(self.worker))
        elif how == "reported":
            run(workers.report_dead(self.worker))
        elif how == "died":
            run(workers.bury([self.worker], silent=False))
        else:
            self.world.sql("UPDATE dutiful.worker SET beat_at = 0 WHERE id = %s", self.worker)
            run(workers.bury())
        run(workers.lapse())
        [row] = self.world.sql("SELECT gone_how FROM dutiful.worker WHERE id = %s", self.worker)
        assert row == (how,)
        suspect = self.world.row(self.job)["suspect"]
        if not suspect:
            return self.next()
        self.worker = self.world.worker(alone=True)
        lease = self.world.claim_suspect(self.worker)
        assert lease is not None
        return Caller(self.world, lease, self.provider)

    def again(self, caller: Caller, verb: str = "fail", **fields: Any) -> Caller:
        """The caller's run ends by itself, and the next one begins at once."""
        fields = {"delay_us": 0, **fields}
        assert self.world.end(caller.lease, verb, **fields)
        return self.next()


def _awaited(function: Callable[[str], Any]) -> Callable[[str], Any]:
    async def called(key: str) -> Any:
        await asyncio.sleep(0)
        return function(key)

    return called
