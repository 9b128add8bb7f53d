"""Who is charged for a worker's death: a small model of its own (SEMANTICS §2.4, "Suspects run alone").

Job 0 kills the process that runs its body, every time; the others are innocent. Workers run jobs in
company; a suspect runs alone in a child. S1: no innocent is ever charged. S2: the poisonous job kills
at most 1 + budget processes, and one more for each kill from outside that hid its deed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from tests.protocol.nouns import DEAD, DONE, READY, RUNNING, Label, put

POISON = 0


class Job(NamedTuple):
    state: str = READY
    suspect: int = 0
    crashes: int = 0
    losses: int = 0


class Worker(NamedTuple):
    """A process and its child: the jobs that it runs in company, and the one that the child runs."""

    alive: int = 1
    company: tuple[int, ...] = ()
    child: int = -1
    child_alive: int = 1


class State(NamedTuple):
    jobs: tuple[Job, ...]
    workers: tuple[Worker, ...]
    kills: int  # from outside, that are left
    deaths: int = 0  # by the poisonous job


Step = tuple[Label, State]


@dataclass(frozen=True)
class Bounds:
    """How large the world is; ``weak`` names the rule that a mutant breaks."""

    name: str = "suspects"
    jobs: int = 4
    workers: int = 3
    slots: int = 2
    kills: int = 3
    crashes_max: int = 3
    losses_max: int = 4  # a suspect's unexplained losses, after which it is charged all the same
    weak: str = ""


class Suspects:
    """The machine for the search."""

    def __init__(self, bounds: Bounds) -> None:
        self.bounds = bounds

    def first(self) -> State:
        b = self.bounds
        return State((Job(),) * b.jobs, (Worker(),) * b.workers, b.kills)

    def canonical(self, s: State) -> State:
        """Workers are alike, and so are innocent jobs that nobody holds."""
        return s._replace(workers=tuple(sorted(s.workers)))

    def settled(self, s: State) -> bool:
        return not [job for job in s.jobs if job.state not in (DONE, DEAD)]

    # ── what is wrong ───────────────────────────────────────────────────────────────────────

    def wrong_in(self, s: State) -> list[str]:
        b, found = self.bounds, []
        if any(job.crashes or job.state == DEAD for job in s.jobs[1:]):
            found.append("S1: an innocent job was charged with a crash")
        if s.deaths > 1 + b.crashes_max + b.kills - s.kills:
            found.append("S2: the poisonous job killed more processes than it may")
        return found

    def wrong_step(self, s: State, label: Label, t: State) -> list[str]:
        return []

    # ── steps ───────────────────────────────────────────────────────────────────────────────

    def steps(self, s: State) -> Iterator[Step]:
        for w, worker in enumerate(s.workers):
            if worker.alive:
                yield from self._claims(s, w, worker)
                yield from self._bodies(s, w, worker)
                if s.kills and (worker.company or worker.child >= 0):
                    killed = self._with(s, w, worker._replace(alive=0, child_alive=0))
                    killed = killed._replace(kills=s.kills - 1)
                    yield Label("kill", slot=w, note="a deploy", kind="fault"), killed
            else:
                yield Label("mark gone", slot=w), self._reaped(s, w, worker)

    def _claims(self, s: State, w: int, worker: Worker) -> Iterator[Step]:
        b = self.bounds
        for j, job in enumerate(s.jobs):
            if job.state != READY:
                continue
            claimed = s._replace(jobs=put(s.jobs, j, job._replace(state=RUNNING)))
            in_company = not job.suspect or b.weak == "suspects_in_company"
            if in_company and len(worker.company) < b.slots:
                company = tuple(sorted((*worker.company, j)))
                yield Label("claim", j, slot=w), self._with(claimed, w, worker._replace(company=company))
            if job.suspect and worker.child < 0:
                yield (
                    Label("claim", j, slot=w, note="alone"),
                    self._with(claimed, w, worker._replace(child=j)),
                )

    def _bodies(self, s: State, w: int, worker: Worker) -> Iterator[Step]:
        for j in worker.company:
            if j == POISON:
                dead = self._with(s, w, worker._replace(alive=0, child_alive=0))
                yield Label("poison", j, slot=w), dead._replace(deaths=s.deaths + 1)
            else:
                rest = tuple(other for other in worker.company if other != j)
                yield Label("complete", j, slot=w), self._done(s, w, j, worker._replace(company=rest))
        j = worker.child
        if j < 0:
            return
        if not worker.child_alive:
            yield self._reported(s, w, worker)
        elif j == POISON:
            dead = self._with(s, w, worker._replace(child_alive=0))
            yield Label("poison", j, slot=w, note="alone"), dead._replace(deaths=s.deaths + 1)
        else:
            yield Label("complete", j, slot=w, note="alone"), self._done(s, w, j, worker._replace(child=-1))

    def _done(self, s: State, w: int, j: int, worker: Worker) -> State:
        done = s._replace(jobs=put(s.jobs, j, s.jobs[j]._replace(state=DONE)))
        return self._with(done, w, worker)

    def _reported(self, s: State, w: int, worker: Worker) -> Step:
        """A living parent saw its child die: the job that ran alone there is charged."""
        job = self._charged(s.jobs[worker.child])
        reported = s._replace(jobs=put(s.jobs, worker.child, job))
        label = Label("lapse_last" if job.state == DEAD else "lapse", worker.child, slot=w, note="reported")
        return label, self._with(reported, w, worker._replace(child=-1, child_alive=1))

    def _reaped(self, s: State, w: int, worker: Worker) -> State:
        """The whole worker is gone: who was in company is a suspect, and nobody is charged."""
        jobs = s.jobs
        for j in worker.company:
            job = jobs[j]._replace(state=READY, suspect=1)
            if self.bounds.weak == "company_is_charged":
                job = self._charged(jobs[j])
            if self.bounds.weak == "one_suspect" and j != worker.company[-1]:
                job = job._replace(suspect=0)
            jobs = put(jobs, j, job)
        if worker.child >= 0:
            job = jobs[worker.child]
            lost = job._replace(state=READY, losses=job.losses + 1)
            if lost.losses >= self.bounds.losses_max or self.bounds.weak == "lost_parent_is_charged":
                lost = self._charged(job)
            jobs = put(jobs, worker.child, lost)
        return self._with(s._replace(jobs=jobs), w, Worker())

    def _charged(self, job: Job) -> Job:
        crashes = job.crashes + 1
        state = DEAD if crashes >= self.bounds.crashes_max else READY
        return job._replace(state=state, suspect=1, crashes=crashes)

    def _with(self, s: State, w: int, worker: Worker) -> State:
        return s._replace(workers=put(s.workers, w, worker))


WEAK = {
    "company_is_charged": ("S1", "a lapse in company charges everybody in it"),
    "lost_parent_is_charged": ("S1", "the loss of a parent charges what its child ran"),
    "suspects_in_company": ("S2", "suspects are claimed in company, too"),
    "one_suspect": ("S2", "of a company, one job becomes a suspect"),
}
