"""One job whole, as text or as a document: what it is, its arguments, its runs, what people did to it."""

from __future__ import annotations

from typing import Any

import msgspec

from ..model.spans import span
from ..operations import audit, effects, inspect
from ..operations.effects import EffectView
from ..operations.inspect import FailureView, JobView
from ..operations.why import REASONS, shown_state
from .documents import of_effect, of_failure, of_job
from .printing import Printer
from .reach import Reach
from .times import iso

ARGS_SHOWN = 65_536
RUNS_SHOWN = 20


def show_job(printer: Printer, store: Reach, job_id: str, *, all_tracebacks: bool) -> JobView:
    """Print the job; raises JobNotFound."""
    job = store.run(inspect.job(store.name, job_id))
    failures = store.run(inspect.failures(job_id))
    notes = store.run(audit.of(job_id))
    called = store.run(effects.of_duty(store.name, job.task, job.key if job.key is not None else job.id))
    if printer.json:
        people = [{**note, "at": iso(_int(note["at"]))} for note in notes]
        fields = {"job": of_job(job), "failures": [of_failure(one) for one in failures], "audit": people}
        fields["effects"] = [of_effect(one) for one in called]
        printer.document("job.show/1", fields)
        return job
    _head(printer, job)
    printer.put("args" if job.args_version == 1 else f"args (version {job.args_version})")
    printer.block(_pretty(job.args), indent="  ")
    if job.result is not None:
        printer.put("result")
        printer.block(_pretty(job.result), indent="  ")
    if called:
        _effects(printer, job, called)
    if failures:
        _runs(printer, job, failures, all_tracebacks)
    if notes:
        printer.put("people")
        for note in notes:
            reason = f': "{note["reason"]}"' if note["reason"] else ""
            did = f"{note['actor']} {note['verb']}, {note['before']} → {note['after']}{reason}"
            printer.block(f"{printer.when(_int(note['at']), job.now_us)}  {did}", indent="  ")
    return job


def _head(printer: Printer, job: JobView) -> None:
    word = shown_state(job.state, job.run_at_us, job.attempt, job.now_us)
    because = job.outcome or job.reason
    state = f"{word} ({because})" if because not in (None, "performed") else word
    printer.put(f"job {job.id}  {job.task}  {state}")
    now = job.now_us
    ended = {"done": "done", "dead": "died", "cancelled": "cancelled"}.get(job.state, "ended")
    runs = str(job.run_no or "")
    if job.run_no != job.attempt:
        runs += f", of them {job.attempt} charged as tries"
    if job.crashes:
        runs += f"; {job.crashes} killed their worker"
    printer.fields(
        [
            ("because", REASONS.get(job.reason or "", job.reason or "")),
            ("asked to stop", printer.when(job.cancel_at_us, now)),
            ("deadline", printer.when(job.deadline_us, now)),
            ("doubt" if job.state == "in_doubt" else "was in doubt", job.doubt or ""),
            ("since", printer.when(job.doubt_at_us, now)),
            ("key", (job.key or "") + (f", epoch {job.epoch}" if job.key and job.epoch > 1 else "")),
            ("queue", f"{job.queue}, priority {job.priority}" if job.priority else job.queue),
            ("enqueued", printer.when(job.enqueued_at_us, now)),
            ("due", printer.when(job.run_at_us, now) if job.state == "ready" else ""),
            (
                "claimed",
                printer.when(job.claimed_at_us, now) + (f" by worker {job.worker}" if job.worker else "")
                if job.claimed_at_us
                else "",
            ),
            ("began", printer.when(job.started_at_us, now)),
            (ended, printer.when(job.ended_at_us, now)),
            ("took", _took(job)),
            ("runs", runs),
            ("suspect", "its worker died while it ran: it is run alone" if job.suspect else ""),
        ]
    )


def _took(job: JobView) -> str:
    if job.state != "done" or job.claimed_at_us is None or job.ended_at_us is None:
        return ""
    return span(job.ended_at_us - job.claimed_at_us)


def _effects(printer: Printer, job: JobView, called: list[EffectView]) -> None:
    printer.put("effects")
    for effect in called:
        printer.put(f"  {effect.name}  {_became(printer, effect, job.now_us)}")
        printer.block(f"key {effect.key}")
        if effect.error:
            printer.block(effect.error)
        if effect.result is not None:
            printer.block(_pretty(effect.result))


def _became(printer: Printer, effect: EffectView, now_us: int) -> str:
    calls = "1 call" if effect.tries == 1 else f"{effect.tries} calls"
    if effect.state == "intended":
        until_us = effect.asked_at_us + (effect.remembered_us or 0) - effect.margin_us
        may = "" if effect.remembered_us is None else f"; may be sent again until {printer.clock(until_us)}"
        sent = printer.when(effect.sent_at_us, now_us)
        return f"open: run {effect.run_no} called at {sent}, outcome unknown ({calls}){may}"
    by = f"run {effect.run_no}" if effect.settled_by == "run" else effect.settled_by or "nobody"
    return f"{effect.state} by {by}, {printer.when(effect.settled_at_us, now_us)} ({calls})"


def _runs(printer: Printer, job: JobView, failures: list[FailureView], all_tracebacks: bool) -> None:
    printer.put("failed runs")
    left_out = 0 if all_tracebacks else max(0, len(failures) - RUNS_SHOWN)
    if left_out:
        printer.put(f"  ({left_out} earlier ones: --tracebacks shows all)")
    for failure in failures[left_out:]:
        when = printer.when(failure.failed_at_us, job.now_us)
        attempt = f"try {failure.attempt}" if failure.attempt else "no try charged"
        by = f", worker {failure.worker}" if failure.worker else ""
        printer.put(f"  run {failure.run_no} ({attempt}{by})  {when}")
        printer.block(f"{failure.kind}: {failure.message}" if failure.message else failure.kind)
        if failure.traceback and (all_tracebacks or failure is failures[-1]):
            printer.block(failure.traceback, indent="      ")


def _pretty(data: bytes) -> str:
    """Stored JSON with line breaks where it is long; what is no JSON as it is."""
    try:
        text = bytes(data).decode()
        if len(text) > 100:
            text = msgspec.json.format(text, indent=2)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        text = bytes(data).decode(errors="backslashreplace")
    return text if len(text) <= ARGS_SHOWN else text[:ARGS_SHOWN] + "…"


def _int(value: Any) -> int:
    return int(value)
