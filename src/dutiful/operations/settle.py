"""End runs, in batches, each under its token; what was not this run's to end is named."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

from ..model.jobs import Ending, Failure
from . import enqueue
from .plan import Call, Steps, as_json, operation, query

OUTCOME = {"complete": "performed", "duplicate": "duplicate"}
"""What is stored of a job that such an ending has done."""
RETURNED = ("fail", "snooze", "release")
"""Endings after which the job is run again."""


@operation
def settle(endings: Sequence[Ending], worker: int) -> Steps[list[Ending]]:
    """End these runs; returns those that are over already: another run, or a person, owns the job.

    A started at_most_once body is never run again: handed back (``started``), it is in doubt. One that
    was given up and lived on reports by the same token how it ended, and that closes the doubt.
    """
    returned = [end for end in endings if end.verb in RETURNED]
    batches = [
        ("complete_jobs", [end for end in endings if end.verb in OUTCOME]),
        ("bury_jobs", [end for end in endings if end.verb == "bury"]),
        ("doubt_jobs", [end for end in endings if end.verb == "doubt"] + [e for e in returned if e.started]),
        ("close_jobs", [end for end in endings if end.verb in ("skip", "abort")]),
        ("expire_jobs", [end for end in endings if end.verb == "expire"]),
        ("return_jobs", returned),
    ]
    batches = [(name, ends) for name, ends in batches if ends]
    over: set[str] = set()
    for name, ends in batches:
        if name == "return_jobs":  # but for those that are in doubt
            ends = [end for end in ends if end.token not in over]
        if not ends:
            continue
        params: dict[str, object] = {"rows": _rows(name, ends)}
        if name == "return_jobs":
            params["worker"] = worker
        whole = len(batches) == 1 and not any(end.follow for end in ends)
        done = {row[0] for row in (yield Call(name, params, alone=whole))}
        over |= done
        for end in ends:  # what takes the place of a job that is skipped comes with it, or not at all
            if end.follow is not None and end.token in done:
                yield from enqueue.many(end.app, [end.follow]).begin()
    return [end for end in endings if end.token not in over]


@query
def who_holds(endings: Sequence[Ending]) -> Steps[dict[str, str]]:
    """Read-back by token, after an ending that got no answer.

    By job id: ``committed`` (this ending stands), ``running`` (it does not, and the run may still end
    its job: end it again) or ``superseded`` (the run lapsed, or somebody else ended it).
    """
    asked = [{"id": end.job_id, "token": end.token, "run_no": end.run_no} for end in endings]
    ends = {end.job_id: end for end in endings}
    found = {}
    for job_id, token, state, held, last, dead, closed, outcome, lapsed in (
        yield Call("who_holds", {"rows": as_json(asked)}, alone=True)
    ):
        end, mine = ends[job_id], _hex(token)
        if end.verb in OUTCOME:
            stands = _hex(closed) == mine and outcome == OUTCOME[end.verb]
        else:
            stands = mine in (_hex(last), _hex(dead), _hex(closed)) and not lapsed
        late = end.started and end.verb in ("complete", "bury")
        if (state == "running" and _hex(held) == mine) or (
            late and state == "in_doubt" and _hex(last) == mine
        ):
            found[job_id] = "running"
        else:
            found[job_id] = "committed" if stands else "superseded"
    return found


def _rows(name: str, endings: Sequence[Ending]) -> str:
    if name == "complete_jobs":
        return as_json([_completed(end) for end in endings])
    if name == "close_jobs":
        return as_json([_closed(end) for end in endings])
    rows = {"return_jobs": _returned, "bury_jobs": _buried, "expire_jobs": _buried, "doubt_jobs": _doubted}
    row = rows[name]
    return as_json([row(end) for end in endings])


def _completed(end: Ending) -> dict[str, object]:
    row: dict[str, object] = {"id": end.job_id, "token": end.token}
    row["result"] = None if end.result is None else end.result.decode()
    if end.verb == "duplicate":
        row |= {"outcome": "duplicate", "same_as": end.same_as}
    if end.reason:  # where the work is, if not in this database: what verify goes by
        row["reason"] = end.reason
    return row


def _closed(end: Ending) -> dict[str, object]:
    skipped = end.verb == "skip"
    return {
        "id": end.job_id,
        "token": end.token,
        "state": "done" if skipped else "cancelled",
        "outcome": "skipped" if skipped else None,
        "back": 0 if end.begun else 1,
        "reason": end.reason,
    }


def _returned(end: Ending) -> dict[str, object]:
    # A body that ended in any way but with its process does not kill its worker: no suspect. One
    # that was handed back before it began is what it was.
    said = _common(replace(end, failure=None) if end.started else end)  # nothing of a body that had not begun
    return said | {
        "delay": None if end.verb == "release" else end.delay_us,
        "back": 0 if end.charged else 1,
        "suspect": False if end.begun else None,
    }


def _buried(end: Ending) -> dict[str, object]:
    return _common(end) | {"reason": end.reason, "fingerprint": end.failure and end.failure.fingerprint}


def _doubted(end: Ending) -> dict[str, object]:
    said = end.failure or Failure("CutOff", end.reason)
    return {
        "id": end.job_id,
        "token": end.token,
        "cut": end.verb != "doubt",
        "doubt": end.reason,
        "kind": said.kind,
        "message": said.message,
        "traceback": said.traceback,
    }


def _common(end: Ending) -> dict[str, object]:
    failure = end.failure
    return {
        "id": end.job_id,
        "token": end.token,
        "kind": failure and failure.kind,
        "message": failure and failure.message,
        "traceback": failure and failure.traceback,
    }


def _hex(token: str | None) -> str | None:
    return token and token.replace("-", "")
