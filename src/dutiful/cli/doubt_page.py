"""One job in doubt, as text or as a document: what is known of its old run, and what can be done."""

from __future__ import annotations

from typing import Any

from ..model.doubts import LastRun
from ..model.effects import QUIET_US
from ..model.spans import ago, span
from ..operations.doubts import Doubt, OpenEffect
from .printing import Printer, raw
from .times import iso


def of_doubt(doubt: Doubt) -> dict[str, Any]:
    """A job in doubt; ``missing`` says what is missing of the proof that its old run is dead, or "" if
    nothing is."""
    return {
        "id": doubt.id,
        "task": doubt.task,
        "queue": doubt.queue,
        "key": doubt.key,
        "epoch": doubt.epoch,
        "delivery": doubt.delivery,
        "in_doubt_at": iso(doubt.doubt_at_us),
        "doubt": doubt.doubt,
        "started_at": iso(doubt.started_at_us),
        "old_run": of_run(doubt.last),
        "missing": doubt.last.missing(doubt.now_us),
        "args": raw(doubt.args),
    }


def of_run(run: LastRun) -> dict[str, Any]:
    """A run that nobody knows the end of."""
    return {
        "run_no": run.run_no,
        "said": run.kind,
        "worker": run.worker,
        "host": run.host,
        "gone": run.gone_how,
        "gone_at": iso(run.gone_at_us),
        "dead_since": iso(run.dead_since_us),
    }


def of_open(effect: OpenEffect, now_us: int) -> dict[str, Any]:
    """An effect in doubt, and its last caller."""
    return {
        "name": effect.name,
        "key": effect.key,
        "calls": effect.tries,
        "asked_at": iso(effect.asked_at_us),
        "sent_at": iso(effect.sent_at_us),
        "caller": of_run(effect.last),
        "missing": effect.last.missing(now_us),
    }


def show_doubt(printer: Printer, doubt: Doubt, effects: list[OpenEffect]) -> None:
    """Print it."""
    now = doubt.now_us
    if printer.json:
        listed = [of_open(effect, now) for effect in effects]
        printer.document("doubt.show/1", {"doubt": of_doubt(doubt), "effects": listed})
        return
    printer.put(f"job {doubt.id}  {doubt.task}  in doubt")
    printer.fields(
        [
            ("because", doubt.doubt),
            ("since", printer.when(doubt.doubt_at_us, now)),
            ("began", printer.when(doubt.started_at_us or doubt.claimed_at_us, now)),
            ("key", (doubt.key or "") + (f", epoch {doubt.epoch}" if doubt.epoch > 1 else "")),
            ("delivery", doubt.delivery),
            ("old run", _known(doubt.last, now)),
        ]
    )
    printer.put("args")
    printer.block(doubt.args.decode(errors="backslashreplace"), indent="  ")
    if effects:
        printer.put("effects in doubt")
    for effect in effects:
        calls = "called once" if effect.tries == 1 else f"called {effect.tries} times"
        printer.block(f"{effect.name}  {calls}, last {ago(effect.sent_at_us, now)}; key {effect.key}", "  ")
        printer.block(_known(effect.last, now), "    ")
    for line in _what_to_do(doubt, effects):
        printer.say(line)


def _known(run: LastRun, now_us: int) -> str:
    missing = run.missing(now_us)
    if not missing:
        since = run.dead_since_us
        assert since is not None
        return f"run {run.run_no} is dead for {span(now_us - since)}"
    if run.dead_since_us is not None:
        ends = run.dead_since_us + QUIET_US
        return f"{missing}; that is over {ago(ends, now_us)}"
    return missing


def _what_to_do(doubt: Doubt, effects: list[OpenEffect]) -> list[str]:
    lines = []
    if doubt.started_at_us is not None:
        lines.append(f"If it was done: dutiful doubt confirm {doubt.id}")
        missing = doubt.last.missing(doubt.now_us)
    else:
        which = f" --effect {effects[0].name}" if len(effects) > 1 else ""
        lines.append(f"If the call was applied: dutiful doubt resume {doubt.id}{which} --result JSON")
        missing = next((text for one in effects if (text := one.last.missing(doubt.now_us))), "")
    risk = " --accept-risk" if missing else ""
    lines.append(f"If it surely was not: dutiful doubt refute {doubt.id}{risk}")
    lines.append(f"To give it up: dutiful doubt waive {doubt.id} --reason TEXT")
    return lines
