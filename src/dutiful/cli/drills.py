"""What is kept of drills: stored after one, listed, and told beside the checklist."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from .. import __version__
from ..check.hashing import Hashes
from ..model.spans import ago
from ..operations import drills
from ..operations.drills import Drill, Found, NewDrill
from .printing import Printer
from .reach import demand_file
from .tables import Column
from .times import iso

if TYPE_CHECKING:
    from ..app.task import Task
    from ..drill import Report

LISTED = [
    Column("TASK", least=16),
    Column("WHEN"),
    Column("RESULT"),
    Column("SCENARIOS", right=True, spare=1),
    Column("CODE"),
    Column("RULES", spare=2),
    Column("BY", spare=3),
]
NEVER = "never drilled"


def store(task: Task[..., Any], report: Report, options: Mapping[str, Any], who: str) -> int:
    """Keep what came of it in the app's store; returns its number. Raises what the store raises."""
    engine = task.app.engine
    demand_file(engine)
    return engine.run(drills.record(task.app.name, kept(report, options, Hashes().of(task.function)), by=who))


def kept(report: Report, options: Mapping[str, Any], code: str) -> NewDrill:
    """A report as it is stored."""
    seen = {"boundaries": report.boundaries, "transactions": report.transactions, "calls": report.calls}
    return NewDrill(
        task=report.task,
        code=code,
        version=__version__,
        engine=report.engine,
        outcome=report.result,
        why=report.why,
        wanted=max(report.wanted, report.scenarios),
        done=report.scenarios,
        runs=report.runs,
        took_us=round(report.seconds * 1e6),
        findings=[
            Found(one.scenario, one.title, one.rule, one.story, one.differs, one.fix)
            for one in report.findings
        ],
        played={name: (count, report.failed[name]) for name, count in report.counts.items()},
        mode={**options, **seen, "masked": report.masked},
    )


def put_list(printer: Printer, app: str, found: list[Drill], codes: Mapping[str, str]) -> None:
    """The last drills, with their age, and whether they are of the code that there is now."""
    if printer.json:
        rows = [document(one, codes.get(one.task)) for one in found]
        printer.document("drill.list/1", {"app": app, "drills": rows})
    elif not found:
        printer.say("No drill is kept. Make one: dutiful drill MODULE:TASK --fixture FILE.sql")
    else:
        printer.table(
            LISTED,
            [
                [
                    one.task,
                    ago(one.at_us, one.now_us),
                    one.outcome,
                    f"{one.done}/{one.wanted}",
                    {True: "changed since", False: "the same", None: "not known"}[
                        one.changed(codes.get(one.task))
                    ],
                    ", ".join(sorted({finding.rule for finding in one.findings if finding.rule})) or "–",
                    one.by,
                ]
                for one in found
            ],
        )


def said(one: Drill | None, code: str | None) -> str:
    """When it was drilled, and what came of it, in one line."""
    if one is None:
        return NEVER
    what: str = one.outcome
    if one.outcome == "findings":
        rules = ", ".join(sorted({finding.rule for finding in one.findings if finding.rule}))
        count = len(one.findings)
        what = f"{count} finding{'' if count == 1 else 's'}" + (f" ({rules})" if rules else "")
    since = {True: ", code changed since", False: "", None: ", of this code or not: not known"}
    return f"drilled {ago(one.at_us, one.now_us)}: {what}{since[one.changed(code)]}"


def sign(one: Drill | None, code: str | None) -> str:
    """✓ only for a clean drill of this very code."""
    if one is None or one.outcome != "clean":
        return "✗"
    return "✓" if one.changed(code) is False else "◐"


def document(one: Drill, code: str | None) -> dict[str, Any]:
    """A drill as JSON; ``changed`` is null where that is not known."""
    return {
        "id": one.id,
        "task": one.task,
        "at": iso(one.at_us),
        "by": one.by,
        "result": one.outcome,
        "why": one.why,
        "changed": one.changed(code),
        "code": one.code or None,
        "version": one.version,
        "engine": one.engine,
        "wanted": one.wanted,
        "done": one.done,
        "runs": one.runs,
        "seconds": round(one.took_us / 1e6, 2),
        "findings": [
            {
                "scenario": finding.scenario,
                "title": finding.title,
                "rule": finding.rule,
                "story": finding.story,
                "differs": finding.differs,
                "fix": finding.fix,
            }
            for finding in one.findings
        ],
        "scenarios": {name: {"played": n, "failed": bad} for name, (n, bad) in one.played.items()},
        "mode": one.mode,
    }
