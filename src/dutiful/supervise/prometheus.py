"""Metrics as Prometheus reads them: text, from the verdict and the queues, with bounded labels.

All of it is the verdict, the same object that the page shows. Labels are the app, the four numbers, watchers,
and queues: at most ``QUEUES_MAX`` of them, those that wait longest.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from ..model.verdict import Queue, Verdict

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
QUEUES_MAX: Final = 200
STATES: Final = ("well", "person", "unknown")
FACTS: Final = {
    "accepted": (
        "dutiful_accepted_jobs_total",
        "counter",
        "Jobs that were accepted, as the books have them.",
    ),
    "accounted": ("dutiful_accounted_jobs", "gauge", "Jobs that the books find again, in whatever state."),
    "dead": ("dutiful_dead_jobs", "gauge", "Dead jobs, when the books were last counted."),
    "seen_dead": ("dutiful_dead_jobs_seen", "gauge", "Dead jobs of causes that somebody has acknowledged."),
    "workers": ("dutiful_workers", "gauge", "Workers that take jobs."),
}

Sample = tuple[Sequence[tuple[str, str]], float]


def text(verdict: Verdict) -> str:
    """The whole exposition, in the format of ``CONTENT_TYPE``; ends with a line break."""
    app = ("app", verdict.app)
    parts = [
        _family(
            "dutiful_verdict",
            "gauge",
            "1 for what the verdict is: well, person (somebody is needed), or unknown.",
            [([app, ("verdict", state)], float(state == verdict.state)) for state in STATES],
        ),
        _family(
            "dutiful_needs_person",
            "gauge",
            "What is lost, doubled, late or unseen.",
            [([app, ("number", one.name)], one.amount) for one in verdict.numbers],
        ),
        _family(
            "dutiful_number_unknown",
            "gauge",
            "1 if the number may be more than is told, since who watches it is silent.",
            [([app, ("number", one.name)], float(bool(one.unknown))) for one in verdict.numbers],
        ),
        _family(
            "dutiful_things",
            "gauge",
            "Causes for which a person is needed.",
            [([app], len(verdict.things))],
        ),
        _family(
            "dutiful_watcher_age_seconds",
            "gauge",
            "How long ago each watcher looked; one that never did is absent.",
            [
                ([app, ("watcher", one.name)], one.age_us / 1e6)
                for one in verdict.watches
                if one.age_us is not None
            ],
        ),
        _family(
            "dutiful_watcher_silent",
            "gauge",
            "1 if a watcher has not looked for three of its periods, or never.",
            [([app, ("watcher", one.name)], float(one.silent)) for one in verdict.watches],
        ),
    ]
    for fact, (name, kind, purpose) in FACTS.items():
        value = verdict.facts.get(fact)
        if value is not None:
            parts.append(_family(name, kind, purpose, [([app], value)]))
    parts += _queues(app, verdict.queues)
    return "".join(parts)


def _queues(app: tuple[str, str], queues: Sequence[Queue]) -> list[str]:
    shown = sorted(queues, key=lambda one: (-(one.oldest_us or 0), one.name))[:QUEUES_MAX]
    label = {one.name: [app, ("queue", one.name)] for one in shown}
    due: list[Sample] = [(label[one.name], one.depth) for one in shown if one.depth is not None]
    oldest: list[Sample] = [(label[one.name], (one.oldest_us or 0) / 1e6) for one in shown]
    targets: list[Sample] = [
        (label[one.name], one.target_us / 1e6) for one in shown if one.target_us is not None
    ]
    paused: list[Sample] = [(label[one.name], float(one.paused_by is not None)) for one in shown]
    return [
        _family("dutiful_queue_due_jobs", "gauge", "Due jobs, when the sampler last looked.", due),
        _family(
            "dutiful_queue_oldest_due_seconds", "gauge", "How long the oldest due job has waited.", oldest
        ),
        _family("dutiful_queue_target_seconds", "gauge", "How long it may, where a target is set.", targets),
        _family("dutiful_queue_paused", "gauge", "1 if the queue is paused.", paused),
    ]


def _family(name: str, kind: str, purpose: str, samples: Iterable[Sample]) -> str:
    lines = [f"{name}{_labels(labels)} {_value(value)}\n" for labels, value in samples]
    if not lines:
        return ""
    return f"# HELP {name} {purpose}\n# TYPE {name} {kind}\n" + "".join(lines)


def _labels(labels: Sequence[tuple[str, str]]) -> str:
    return "{" + ",".join(f'{name}="{_escaped(value)}"' for name, value in labels) + "}"


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _value(value: float) -> str:
    return str(int(value)) if value == int(value) else repr(float(value))
