"""What every contestant can do: dutiful, the floors and the peers alike.

A subject is made in a process of its own for each call, on an empty store, so that nothing leaks from one
measurement into the next. Its methods return plain numbers; what may go wrong is raised and shown in the
table as text.
"""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Literal

Store = Literal["postgres", "sqlite", "redis"]

URL_VARIABLE = "DUTIFUL_BENCH_URL"


class NotMeasured(Exception):
    """The subject has nothing of this kind: no queries to count, no task body to wait for."""


@dataclass(frozen=True)
class Place:
    """Where a call finds its empty store, and a folder for what it writes beside it."""

    url: str
    folder: Path

    @classmethod
    def from_environment(cls, folder: Path) -> Place:
        return cls(url=os.environ[URL_VARIABLE], folder=folder)


@dataclass(frozen=True)
class Idle:
    """What an idle worker costs. ``queries_per_s`` is None where the store does not count them."""

    queries_per_s: float | None
    cpu_percent: float
    resident_mb: float | None = None


@dataclass(frozen=True)
class Drained:
    """A drain. ``cpu_s`` is the time of worker and server together; None where it cannot be read."""

    jobs: int
    seconds: float
    cpu_s: float | None

    @property
    def jobs_per_s(self) -> float:
        return self.jobs / self.seconds

    @property
    def cpu_us_per_job(self) -> float | None:
        return None if self.cpu_s is None else 1e6 * self.cpu_s / self.jobs


@dataclass(frozen=True)
class Held:
    """A drain while another session holds an old snapshot open, after ``churned`` jobs came and went.

    ``fresh`` is a drain in the same store before all that.
    """

    fresh: Drained
    drained: Drained
    churned: int
    course: list[tuple[float, float]] = field(default_factory=list)
    """Rates on the way: seconds since the snapshot was taken, and jobs a second."""


@dataclass(frozen=True)
class Beside:
    """A drain in a store that was made ``of`` so many other jobs, and one in the same store before that."""

    fresh: Drained
    drained: Drained
    of: int

    @property
    def share(self) -> float:
        return self.drained.jobs_per_s / self.fresh.jobs_per_s


@dataclass(frozen=True)
class Checked:
    """Drains beside many other jobs, without the checker's passes and with ``passes`` of them."""

    pass_s: list[float]
    pass_cpu_s: float | None
    without: list[Drained]
    beside: list[Drained]
    passes: int

    @property
    def lost_s(self) -> float:
        """What one pass took from a drain."""
        without, beside = (sum(one.seconds for one in drains) for drains in (self.without, self.beside))
        return (beside - without) / max(1, self.passes)


class Subject(ABC):
    """One contestant. ``rates`` are the jobs a second to expect; they fix sizes, and are no result."""

    name: ClassVar[str]
    store: ClassVar[Store]
    rates: ClassVar[Mapping[str, float]]

    def __init__(self, place: Place) -> None:
        self.place = place

    @abstractmethod
    def prepare(self) -> None:
        """Make tables and connections; not timed."""

    @abstractmethod
    def enqueue_one(self, jobs: int) -> float:
        """Seconds to enqueue ``jobs`` jobs, each committed before the next."""

    @abstractmethod
    def enqueue_bulk(self, jobs: int) -> float:
        """Seconds to enqueue ``jobs`` jobs by the fastest documented way."""

    @abstractmethod
    def drain(self, jobs: int) -> Drained:
        """From the first start to the last committed end of jobs stored beforehand."""

    def drain_async(self, jobs: int) -> Drained:
        """The same for a body that is a coroutine."""
        raise NotMeasured("has no such jobs")

    def drain_once(self, jobs: int, connections: int = 16) -> Drained:
        """The same for jobs whose body inserts a row, once: work and end in one transaction each."""
        raise NotMeasured("has no such jobs")

    def drain_group(self, jobs: int) -> Drained:
        """The same with many jobs to a commit."""
        raise NotMeasured("has no such jobs")

    @abstractmethod
    def latency(self, jobs: int, hints: bool = True) -> list[float]:
        """Seconds from each enqueue call to the first line of its body, at fifty jobs a second.

        Without ``hints``, jobs come in a way that tells no worker of them.
        """

    def idle(self, seconds: float, queues: int = 1) -> Idle:
        """What a worker of so many queues without work costs over ``seconds``."""
        raise NotMeasured("has no worker")

    def held(self, jobs: int, churn: int, budget_s: float) -> Held:
        """A drain of ``jobs`` under a held snapshot after ``churn`` jobs, or as many as fit the budget."""
        raise NotMeasured("has no snapshots")

    def workers(self, jobs: int, counts: Sequence[int]) -> Mapping[str, float]:
        """Jobs a second of so many worker processes at once, ``jobs`` for each of them, by their number."""
        raise NotMeasured("is measured with one process")

    def state(self, name: str, jobs: int, stock: int, seconds: float) -> Beside:
        """A drain in one of ``measures.STATES``, made of ``stock`` jobs."""
        raise NotMeasured("its tables are not filled here")

    def prune(self, jobs: int, stock: int) -> Mapping[str, float]:
        """Jobs a second "without" and "with" ``stock`` old endings being forgotten, which took "seconds"."""
        raise NotMeasured("is not asked to forget")

    def memory(self, first: int, last: int) -> Mapping[str, float]:
        """Megabytes of a worker after its ``first`` jobs and after its ``last``."""
        raise NotMeasured("has no worker")

    def stream(self, jobs: int) -> Mapping[str, float]:
        """A bulk of ``jobs`` from a generator: jobs a second, and by how many megabytes the process grew."""
        raise NotMeasured("has no bulk from a generator")

    def gates(self, jobs: int, single: bool = False) -> Mapping[str, float]:
        """CPU microseconds of a job without gates ("plain") and with free ones; ``single``: no bulk."""
        raise NotMeasured("has no gates")

    def records(self, jobs: int) -> Mapping[str, float]:
        """CPU microseconds of a job "without" records and "with" them."""
        raise NotMeasured("keeps no records")

    def verify(self, jobs: int, stock: int) -> Checked:
        """Passes of the checker over ``stock`` endings and what lies beside them, also during drains."""
        raise NotMeasured("has no checker")
