"""The model held against the transition relation: each change of a job must be one that its verb may make."""

from __future__ import annotations

from tests.protocol.machine import Machine
from tests.protocol.nouns import ABSENT, PRUNED, Job, Label, State
from tests.protocol.relation import CHANGES, Look, explanations, objections, same

NAMED = {*CHANGES, "enqueue", "prune"}


class CheckedMachine(Machine):
    """A machine whose steps are looked at once more; what it finds begins with TABLE."""

    def wrong_step(self, s: State, label: Label, t: State) -> list[str]:
        found = super().wrong_step(s, label, t)
        if label.verb == "fail over" or t.db.jobs is s.db.jobs:
            return found
        for a, b in zip(s.db.jobs, t.db.jobs, strict=True):
            if a is b:
                continue
            before, after = self._look(a), self._look(b)
            if label.verb in NAMED:
                found += [f"TABLE: {label.verb}: {why}" for why in objections(label.verb, before, after)]
            elif not same(before, after) and not explanations(before, after):
                found.append(f"TABLE: {label.verb} is no verb of the table")
        return found

    def _look(self, job: Job) -> Look | None:
        if job.state in (ABSENT, PRUNED):
            return None
        return Look(
            job.state,
            job.outcome or None,
            job.token or None,
            job.last or None,
            job.run_no,
            job.attempt,
            job.crashes,
            job.epoch,
            self.protocol.at_most_once,
            bool(job.started),
            bool(job.cancel),
        )
