"""Looks at the jobs after every commit: what changed must be what a transition of the model allows.

It knows nothing of what the code meant to do, only who held which token: it reads the tables, and the
statements of the transaction with their parameters.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from dataclasses import dataclass
from typing import Any

from dutiful.operations.plan import Step
from tests.simulation.scheduler import Over
from tests.simulation.store import Store

LIVE = (
    "SELECT id, state, token, worker, run_no, attempt, last_token, ready_seq, epoch, task,"
    " started_at IS NOT NULL FROM dutiful_job"
)
TOKEN = re.compile(r"[0-9a-f]{32}")

CLAIMS = {"claim_jobs", "claim_suspect"}
ENQUEUES = {"enqueue_job", "enqueue_keyed_job", "enqueue_gated_job", "enqueue_jobs"}
REVIVALS = {"revive_dead", "revive_ended"}
LAPSES = {"lapse_jobs", "lapse_started"}
COMPLETIONS = {"complete_jobs", "finish_work"}
CANCELS = {"cancel_ready"}
UNWAIVED = {"unwaive_doubt"}
REOPENED = {"reopen_doubt"}
CLOSED = {"close_doubt"}
STANDS = ("completed", "returned", "buried", "doubted", "duplicate")
"""How a run may have ended by its own ending."""


class Broken(AssertionError):
    """An invariant does not hold. Its text is the finding."""


@dataclass(frozen=True, slots=True)
class Row:
    """A live job."""

    id: str
    state: str
    token: str | None
    worker: int | None
    run_no: int
    attempt: int
    last_token: str | None
    ready_seq: int | None
    epoch: int
    task: str
    started: int


class Watch:
    """What was seen so far."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._live: dict[str, Row] = {}
        self._changes = -1
        self.dead: dict[str, int] = {}
        self.fates: dict[str, str] = {}
        """By token, how its run ended: the statement's kind, or "lapsed"."""
        self.tokens: dict[str, tuple[str, int]] = {}
        """Every token that was given, with its job and run_no."""
        self.epochs: dict[tuple[str, int], int] = {}
        """Of each run (job, run_no)."""
        self.run_nos: dict[str, int] = {}
        self.accepted: Counter[str] = Counter()
        """Completions that were acknowledged to a worker, by job."""
        self.verbs: Counter[str] = Counter()
        self.losses_at: dict[str, int] = {}

    # ── after a commit ──────────────────────────────────────────────────────────────────────

    def committed(self, steps: list[Step]) -> None:
        """A transaction was committed."""
        store = self._store
        if store.raw.total_changes == self._changes:
            return
        self._changes = store.raw.total_changes
        now = {row[0]: Row(*row) for row in store.raw.execute(LIVE)}
        before, self._live = self._live, now
        names = {step.name for step in steps}
        tokens: set[str] | None = None
        for id, row in now.items():
            was = before.get(id)
            if was == row:
                continue
            if was is None:
                self._arrived(row, names)
            elif was.state == "ready":
                self._was_ready(was, row, names)
            elif was.state == "in_doubt":
                self._reopened(was, row, names)
            else:
                tokens = tokens if tokens is not None else _tokens(steps)
                self._was_running(was, row, names, tokens)
        for id in before.keys() - now.keys():
            tokens = tokens if tokens is not None else _tokens(steps)
            self._left(before[id], names, tokens)

    def _arrived(self, row: Row, names: set[str]) -> None:
        if names & UNWAIVED:
            self.verbs["unwaive"] += 1
            self._demand(row.state == "in_doubt", f"{row.id} was taken back as {row.state}")
            return
        self._demand(row.state == "ready" and row.token is None, f"{row.id} came as {row.state}")
        if names & REVIVALS:
            self.verbs["retry"] += 1
            self._demand(row.attempt == 0, f"{row.id} came back with its attempts")
            self._demand(row.run_no >= self.run_nos.get(row.id, 0), f"{row.id} came back with fewer runs")
            self.dead.pop(row.id, None)
        else:
            self._demand(bool(names & ENQUEUES), f"{row.id} came by {sorted(names)}")
            self.verbs["enqueue"] += 1
            self._demand(row.id not in self.run_nos, f"{row.id} was enqueued again, though it ran before")

    def _was_ready(self, was: Row, row: Row, names: set[str]) -> None:
        if row.state == "ready":
            grew = (row.ready_seq or 0) >= (was.ready_seq or 0)
            self._demand(
                grew and row.run_no == was.run_no, f"{row.id} changed while it was ready: {was} {row}"
            )
            return
        self._demand(bool(names & CLAIMS), f"{row.id} is running by {sorted(names)}")
        self.verbs["claim"] += 1
        self._demand(
            row.run_no == was.run_no + 1, f"run_no of {row.id} went from {was.run_no} to {row.run_no}"
        )
        self._demand(
            row.run_no > self.run_nos.get(row.id, 0), f"run_no {row.run_no} of {row.id} was there before"
        )
        self._demand(row.attempt == was.attempt + 1, f"the claim of {row.id} did not count as a try")
        self._demand(
            row.token is not None and row.token not in self.tokens, f"token of {row.id} is no new one"
        )
        gone = self._worker_gone(row.worker)
        self._demand(gone is False, f"{row.id} was claimed for worker {row.worker}, which is gone")
        assert row.token is not None
        self.tokens[row.token] = (row.id, row.run_no)
        self.epochs[row.id, row.run_no] = row.epoch
        self.run_nos[row.id] = row.run_no

    def _reopened(self, was: Row, row: Row, names: set[str]) -> None:
        """A person decided that the job is run again: a started at_most_once body in a new epoch only."""
        self._demand(
            row.state == "ready" and bool(names & REOPENED), f"{row.id}, in doubt, by {sorted(names)}"
        )
        if was.started:
            self._demand(row.epoch == was.epoch + 1, f"{row.id} is begun again in epoch {row.epoch}")
        self.verbs["reopen"] += 1

    def _was_running(self, was: Row, row: Row, names: set[str], tokens: set[str]) -> None:
        assert was.token is not None
        if row.token == was.token:
            same = (was.state, was.run_no, was.attempt, was.worker)
            self._demand(
                same == (row.state, row.run_no, row.attempt, row.worker), f"run changed: {was} {row}"
            )
            return
        self._demand(row.state != "running", f"{row.id} went from one run to another: {was} {row}")
        self._demand(row.last_token == was.token, f"{row.id} lost its last token")
        self._demand(row.run_no == was.run_no, f"run_no of {row.id} changed as its run ended")
        self._demand(0 <= was.attempt - row.attempt <= 1, f"attempt went from {was.attempt} to {row.attempt}")
        if row.ready_seq is not None and was.ready_seq is not None:
            self._demand(row.ready_seq > was.ready_seq, f"{row.id} came back to its old place in the line")
        self._ended(was, "doubted" if row.state == "in_doubt" else "returned", names, tokens)

    def _left(self, was: Row, names: set[str], tokens: set[str]) -> None:
        store = self._store
        dead = store.rows("SELECT reason, last_token FROM dutiful_dead WHERE id = ?", was.id)
        ended = store.rows(
            "SELECT state, outcome, last_token FROM dutiful_history WHERE id = ?"
            " ORDER BY finished_at DESC, run_no DESC LIMIT 1",
            was.id,
        )
        if dead:
            self.dead[was.id] = was.run_no
        self._demand(bool(dead or ended), f"{was.id} is gone from everywhere")
        if was.state == "ready":
            self._demand(bool(names & CANCELS), f"{was.id}, which was ready, ended by {sorted(names)}")
            self.verbs["cancel"] += 1
            return
        last = (dead or [row[1:] for row in ended])[0][1]
        held = was.token if was.state == "running" else was.last_token
        self._demand(last == held, f"{was.id} ended, and its last token is another run's")
        if was.state == "in_doubt":
            by_person = bool(names & CLOSED)
            self._demand(
                by_person or held in tokens, f"the doubt of {was.id} was closed by somebody without its token"
            )
            self.verbs["close" if by_person else "report"] += 1
            assert held is not None
            self.fates[held] = "by a person" if by_person else "buried" if dead else "completed"
            return
        if dead:
            self._ended(was, "buried", names, tokens)
        elif ended[0][1] == "performed":
            self._demand(bool(names & COMPLETIONS), f"{was.id} is done by {sorted(names)}")
            self._ended(was, "completed", names, tokens)
        else:
            self._ended(was, str(ended[0][1]), names, tokens)

    def _ended(self, was: Row, how: str, names: set[str], tokens: set[str]) -> None:
        """A run ended: by who held its token, or because its worker was marked gone."""
        assert was.token is not None
        if names & LAPSES and how in ("returned", "buried", "doubted"):
            gone = self._worker_gone(was.worker)
            self._demand(gone is not False, f"{was.id} was taken from worker {was.worker}, which lives")
            how = "lapsed"
            self.losses_at[was.id] = self._store.world.now
        else:
            self._demand(was.token in tokens, f"{was.id} was {how} by somebody who did not hold its token")
        self._demand(was.token not in self.fates, f"a run of {was.id} ended twice")
        self.fates[was.token] = how
        self.verbs[how] += 1

    def _demand(self, holds: bool, text: str) -> None:
        if not holds:
            self._store.world.fail(Broken(text))
            raise Over

    def _worker_gone(self, worker: int | None) -> bool | None:
        """None: it has no row."""
        found = self._store.rows("SELECT gone_at IS NOT NULL FROM dutiful_worker WHERE id = ?", worker)
        return bool(found[0][0]) if found else None

    # ── after an answer ─────────────────────────────────────────────────────────────────────

    def answered(self, name: str, steps: list[Step], answer: Any) -> None:
        """A worker was told something: it must be true."""
        if name == "settle":
            for step in steps:
                if step.name == "complete_jobs":
                    lost = {ending.token for ending in answer}
                    for row in json.loads(step.params["rows"]):  # type: ignore[union-attr]
                        if row["token"] not in lost:
                            self.told_done(row["id"], row["token"])
        elif name == "who_holds":
            [step] = steps
            for row in json.loads(step.params["rows"]):  # type: ignore[union-attr]
                self._read_back(row["id"], row["token"], answer.get(row["id"]))

    def told_done(self, job: str, token: str) -> None:
        """A worker was told that its completion stands."""
        fate = self.fates.get(token)
        self._demand(
            fate in ("completed", "duplicate"),
            f"a worker was told that {job} is done by its run, which was {fate}",
        )
        self.accepted[job] += fate == "completed"

    def _read_back(self, job: str, token: str, verdict: str | None) -> None:
        row = self._live.get(job)
        truth = "running" if row is not None and row.token == token else self.fates.get(token)
        if row is not None and row.state == "in_doubt" and row.last_token == token:
            truth = "in_doubt"  # its run may still report how it ended
        if verdict == "running":
            fits = truth in ("running", "in_doubt")
        elif verdict == "committed":
            fits = (self.fates.get(token) if truth == "in_doubt" else truth) in STANDS
        else:
            fits = truth not in ("running", "completed")
        self._demand(fits, f"the read-back of {job} said {verdict}, and its run is {truth}")


def _tokens(steps: list[Step]) -> set[str]:
    """All tokens among the parameters of a transaction."""
    found: set[str] = set()
    for step in steps:
        for value in step.params.values():  # type: ignore[union-attr]
            if isinstance(value, str):
                found.update(TOKEN.findall(value))
    return found
