"""End runs, in batches, each under its token; what was not this run's to end is named."""

from __future__ import annotations

from collections.abc import Sequence

from ..model.jobs import Ending
from .plan import Call, Steps, as_json, operation, query

OUTCOME = {"complete": "performed", "duplicate": "duplicate"}
"""What is stored of a job that such an ending has done."""


@operation
def settle(endings: Sequence[Ending], worker: int) -> Steps[list[Ending]]:
    """End these runs; returns those that are over already: another run, or a person, owns the job."""
    completed = [end for end in endings if end.verb in ("complete", "duplicate")]
    buried = [end for end in endings if end.verb == "bury"]
    returned = [end for end in endings if end.verb in ("fail", "snooze", "release")]
    kinds = (("complete_jobs", completed), ("bury_jobs", buried), ("return_jobs", returned))
    batches = [(name, ends) for name, ends in kinds if ends]
    lost: list[Ending] = []
    for name, ends in batches:
        params: dict[str, object] = {"rows": _rows(name, ends)}
        if name == "return_jobs":
            params["worker"] = worker
        ended = {row[0] for row in (yield Call(name, params, alone=len(batches) == 1))}
        lost += [end for end in ends if end.token not in ended]
    return lost


@query
def who_holds(endings: Sequence[Ending]) -> Steps[dict[str, str]]:
    """Read-back by token, after an ending that got no answer.

    By job id: ``committed`` (this ending stands), ``running`` (it does not, and the run still owns its
    job: end it again) or ``superseded`` (the run lapsed, or somebody else ended it).
    """
    asked = [{"id": end.job_id, "token": end.token, "run_no": end.run_no} for end in endings]
    verbs = {end.job_id: end.verb for end in endings}
    found = {}
    for job_id, token, state, held, last, dead, closed, outcome, lapsed in (
        yield Call("who_holds", {"rows": as_json(asked)}, alone=True)
    ):
        mine = _hex(token)
        if verbs[job_id] in OUTCOME:
            stands = _hex(closed) == mine and outcome == OUTCOME[verbs[job_id]]
        else:
            stands = mine in (_hex(last), _hex(dead), _hex(closed)) and not lapsed
        if state == "running" and _hex(held) == mine:
            found[job_id] = "running"
        else:
            found[job_id] = "committed" if stands else "superseded"
    return found


def _rows(name: str, endings: Sequence[Ending]) -> str:
    if name == "complete_jobs":
        return as_json([_completed(end) for end in endings])
    return as_json([_returned(end) if name == "return_jobs" else _buried(end) for end in endings])


def _completed(end: Ending) -> dict[str, object]:
    row: dict[str, object] = {"id": end.job_id, "token": end.token}
    row["result"] = None if end.result is None else end.result.decode()
    if end.verb == "duplicate":
        row |= {"outcome": "duplicate", "same_as": end.same_as}
    return row


def _returned(end: Ending) -> dict[str, object]:
    # A body that ended in any way but with its process does not kill its worker: no suspect. One
    # that was handed back before it began is what it was.
    return _common(end) | {
        "delay": None if end.verb == "release" else end.delay_us,
        "back": 0 if end.charged else 1,
        "suspect": False if end.begun else None,
    }


def _buried(end: Ending) -> dict[str, object]:
    return _common(end) | {"reason": end.reason}


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
