"""One measurement in a process of its own: ``python -m bench.child NAME CALL JSON FOLDER``.

Its last line of output is JSON, ``{"value": …}`` or ``{"problem": "…"}``. Sizes come as seconds, and become
jobs by the rate that the subject expects of itself, so that a slow system is not asked for minutes.
"""

from __future__ import annotations

import dataclasses
import json
import statistics
import sys
import traceback
from pathlib import Path
from typing import Any

from bench.contestants import BY_NAME
from bench.subject import Drained, NotMeasured, Place, Subject

JOBS_MIN = 100


def measure(subject: Subject, call: str, options: dict[str, Any]) -> Any:
    """Call one method of ``subject``; what stands behind a colon in a call's name says how."""
    method, _, how = call.partition(":")
    if method in ("enqueue_one", "enqueue_bulk"):
        jobs = _jobs(subject, method, options)
        return jobs / getattr(subject, method)(jobs)
    if method == "drain_once":
        return _drained(subject.drain_once(_jobs(subject, method, options), int(how)))
    if method in ("drain", "drain_async", "drain_group"):
        jobs = _jobs(subject, "drain" if method == "drain_async" else method, options)
        return _drained(getattr(subject, method)(jobs))
    if method == "latency":
        return subject.latency(options["jobs"], hints=how != "unheard")
    if method == "idle":
        return dataclasses.asdict(subject.idle(options["seconds"], int(how)))
    if method == "workers":
        return subject.workers(_jobs(subject, "drain", options), options["counts"])
    if method == "state":
        beside = subject.state(how, _jobs(subject, "drain", options), options["stock"], options["seconds"])
        return _drained(beside.drained) | {"share": beside.share, "of": beside.of}
    if method == "prune":
        return subject.prune(_jobs(subject, "drain", options), options["stock"])
    if method == "memory":
        return subject.memory(options["first"], options["last"])
    if method == "stream":
        return subject.stream(options["jobs"])
    if method == "held":
        jobs = _jobs(subject, "drain", options)
        held = subject.held(jobs, options["churn"], options["budget_s"])
        share = held.drained.jobs_per_s / held.fresh.jobs_per_s
        return _drained(held.drained) | {"churned": held.churned, "share": share, "course": held.course}
    if method == "gates":
        return subject.gates(_jobs(subject, "drain", options), single=how == "single")
    if method == "records":
        return subject.records(_jobs(subject, "drain", options))
    if method == "verify":
        checked = subject.verify(_jobs(subject, "drain", options), options["stock"])
        per_pass = {"pass_s": statistics.median(checked.pass_s), "lost_s": checked.lost_s}
        return per_pass | {"passes": checked.passes, "cpu_s": checked.pass_cpu_s}
    raise ValueError(method)


def _jobs(subject: Subject, method: str, options: dict[str, Any]) -> int:
    return max(JOBS_MIN, int(subject.rates[method] * options["seconds"]))


def _drained(drained: Drained) -> dict[str, Any]:
    return {"jobs_per_s": drained.jobs_per_s, "cpu_us": drained.cpu_us_per_job}


def main(name: str, call: str, options: str, folder: str) -> None:
    answer: dict[str, Any]
    try:
        subject = BY_NAME[name].load()(Place.from_environment(Path(folder)))
        subject.prepare()
        answer = {"value": measure(subject, call, json.loads(options))}
    except NotMeasured as reason:
        answer = {"problem": str(reason)}
    except ImportError as error:
        traceback.print_exc()
        answer = {"problem": f"not installed ({error.name})"}
    except Exception as error:
        traceback.print_exc()
        answer = {"problem": f"failed: {type(error).__name__}: {error}"}
    print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
