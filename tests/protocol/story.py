"""A counterexample as people read it: who did what, one line a step, and what was wrong at the end."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tests.protocol.nouns import Label

SENTENCES = {
    "enqueue": "a producer enqueues {job}",
    "claim": "a worker claims {job}: {run} begins",
    "mark gone": "the worker of {run} is marked gone",
    "crash": "the process of {run} dies",
    "land": "the server commits what {run} had sent",
    "drop": "the server drops what {run} had sent",
    "roll back": "the server rolls back what {run} had open",
    "forget": "remember= has passed for the duty of {job}",
    "prune": "{job} is pruned from the history",
    "prune the ledger": "the ledger row of {run} is pruned",
    "skip": "{run} finds {job} too late, and skips it",
    "expire": "{run} finds {job} too late, and it is dead",
    "fall behind": "the standby falls behind",
    "fail over": "the standby is promoted",
    "deploy": "new code is deployed",
    "tick": "time passes",
    "arrive": "the call under way arrives",
    "look": "somebody looks at {job}, to write later",
    "kill": "a worker is killed from outside",
    "poison": "{job} kills its process",
}


def told(labels: Sequence[Label], wrong: Sequence[str]) -> str:
    """The whole story, numbered."""
    return "\n".join([*_lines(labels), *(f"    => {line}" for line in wrong)])


def _lines(labels: Sequence[Label]) -> Iterator[str]:
    for number, label in enumerate(labels, 1):
        job = f"job {chr(ord('A') + label.job)}" if label.job >= 0 else "nothing"
        run = f"run {label.token} of {job}" if label.token else job
        sentence = SENTENCES.get(label.verb)
        if sentence is None:
            sentence = "a person: {verb} {job}" if label.kind == "person" else "{run}: {verb}"
        if label.verb in ("lapse", "lapse_last", "lapse_in_doubt"):
            sentence = "the reaper: {verb} {run}"
        text = sentence.format(job=job, run=run, verb=label.verb)
        note = f" ({label.note})" if label.note else ""
        fault = "   <- fault" if label.kind == "fault" else ""
        yield f"{number:4}. {text}{note}{fault}"
