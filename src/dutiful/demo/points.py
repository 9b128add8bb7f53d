"""The named points at which workers are killed, the same in all lanes.

A worker that comes to a point looks whether a *stop* was laid there for its lane and order: a file,
which it takes by renaming it, so that one run finds it and no later one. Then it writes a *report*
("I am at this point of this order") and waits for a moment: to be killed there, or, when its report
is taken away, to go on. Without a stop a point costs one failed system call.
"""

from __future__ import annotations

import json
import os
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal
from urllib.parse import quote

from .places import Folder

Where = Literal["before", "gap", "after"]

POINTS: dict[Where, str] = {
    "before": "before the effect",
    "gap": "in the gap",
    "after": "after the record",
}
"""The effect is the bank's charge, the record is the queue's note that the order is done."""

WAIT_S = 15.0
"""How long a worker waits for its end; then it goes on, and the crash was missed."""
LOOK_S = 0.005
DRAFT = ".draft"


@dataclass(frozen=True, slots=True)
class Report:
    """A worker's message that it is at a point. ``parent`` matters where a worker's child reports."""

    lane: str
    order_id: str
    where: Where
    pid: int
    parent: int
    job_id: str = ""
    run_no: int = 0


# ── the worker's side ───────────────────────────────────────────────────────────────────────


def point(
    folder: Folder, lane: str, order_id: str, where: Where, *, job_id: str = "", run_no: int = 0
) -> None:
    """Be at a point: go on at once, or wait there if a stop was laid."""
    name = _name(lane, order_id, where)
    try:
        os.rename(folder.stops / name, folder.stops / f"{name}.taken")
    except FileNotFoundError:
        return
    report = Report(lane, order_id, where, os.getpid(), os.getppid(), job_id, run_no)
    path = folder.reports / name
    draft = path.with_name(name + DRAFT)
    draft.write_text(json.dumps(asdict(report)))
    os.rename(draft, path)
    settings, until = folder.settings(), time.monotonic() + WAIT_S
    while path.exists() and settings.is_directed() and time.monotonic() < until:
        time.sleep(LOOK_S)


def is_laid(folder: Folder, lane: str, order_id: str, where: Where) -> bool:
    """Whether a stop waits there, for a worker that has to prepare for it."""
    return (folder.stops / _name(lane, order_id, where)).exists()


# ── the director's side ─────────────────────────────────────────────────────────────────────


def lay(folder: Folder, lane: str, order_id: str, where: Where) -> None:
    """Tell the lane's workers to stop at this point."""
    (folder.stops / _name(lane, order_id, where)).touch()


def reports(folder: Folder) -> list[Report]:
    """Who waits at a point now."""
    found = []
    for entry in sorted(os.listdir(folder.reports)):
        if not entry.endswith(DRAFT):
            found.append(Report(**json.loads(Path(folder.reports, entry).read_text())))
    return found


def let_go(folder: Folder, report: Report) -> None:
    """Take the report away: who waits goes on, if it can."""
    (folder.reports / _name(report.lane, report.order_id, report.where)).unlink(missing_ok=True)


def _name(lane: str, order_id: str, where: Where) -> str:
    return f"{lane}.{where}.{quote(order_id, safe='')}"
