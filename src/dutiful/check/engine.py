"""One examination: paths in, findings out. Nothing of the project is imported or run."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..engines.contract import Engine
from . import lockfile, silences, store
from .catalogue import Rule, all_rules
from .findings import Finding, Outcome
from .looking import Hit, Look
from .registry import PLACE_RULES, TASK_RULES, load
from .schema import Schema
from .sources import Function, Project
from .systems import find_tasks
from .tasks import Task


@dataclass(frozen=True)
class Wanted:
    """What is to be looked at, and by which rules."""

    paths: tuple[Path, ...]
    task: str = ""
    select: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()
    schema: Schema | None = None
    registered: Any = None
    """Changes the tasks by what is registered on an app; called with the project and the tasks."""

    lock: Path | None = None
    """Where dutiful.lock is, if it is."""
    engine: Engine | None = None
    """A store of dutiful's, for what its jobs say."""
    app_name: str = ""

    def takes(self, rule: str) -> bool:
        """Whether a rule is to be carried out; prefixes as ``DU00`` stand for all that begin so."""
        if self.select and not any(rule.startswith(one) for one in self.select):
            return False
        return not any(rule.startswith(one) for one in self.ignore)


NEEDS = {
    "schema": "--schema URL or --store URL, for the unique keys",
    "lock": "a dutiful.lock (write one: dutiful check --lock) or --store URL",
    "store": "--store URL, for how long jobs took",
}


def examine(wanted: Wanted) -> Outcome:
    """Look at everything once."""
    load()
    project = Project(wanted.paths)
    tasks = find_tasks(project)
    if wanted.registered is not None:
        tasks = wanted.registered(project, tasks)
    look = Look(project, tasks, wanted.schema)
    chosen = [task for task in tasks if _is_named(task, wanted.task)]
    rules = all_rules()
    outcome = Outcome()
    outcome.found = chosen
    carried_out: set[str] = set()
    found: list[Finding] = []
    ours = any(task.is_ours for task in tasks)
    for id, rule in rules.items():
        if not wanted.takes(id) or id == "DU000" or (not ours and not rule.elsewhere):
            continue
        if missing := _missing(rule, wanted):
            outcome.skipped[id] = missing
            continue
        carried_out.add(id)
        found += _carry_out(rule, look, chosen, everything=not wanted.task)
    if not wanted.task:
        found += _deployed(wanted, tasks, carried_out)
    found = _merged(found)
    own = silences.silences(project) if not wanted.task else []
    kept = {path.shown for task in chosen for path in (task.module,)}
    if wanted.task:
        own = [one for one in silences.silences(project) if one.module.shown in kept]
    left, outcome.silenced = silences.apply(found, own, carried_out if not wanted.task else set())
    outcome.findings = sorted(
        (one for one in left if one.rule != "DU000" or wanted.takes("DU000")), key=lambda one: one.order
    )
    for task in chosen:
        outcome.tasks[task.system] = outcome.tasks.get(task.system, 0) + 1
    outcome.files = len(project.given)
    outcome.lines = sum((project.text(name) or "").count("\n") for name in project.given)
    outcome.unreadable = project.unreadable
    return outcome


def _missing(rule: Rule, wanted: Wanted) -> str:
    has = {
        "": True,
        "schema": wanted.schema is not None,
        "lock": wanted.engine is not None or (wanted.lock is not None and wanted.lock.exists()),
        "store": wanted.engine is not None,
    }
    return "" if has[rule.needs] else NEEDS[rule.needs]


def _deployed(wanted: Wanted, tasks: list[Task], carried_out: set[str]) -> Iterator[Finding]:
    """DU036 and DU037: the code against the lock file and the store."""
    jobs = None
    if wanted.engine is not None and carried_out & {"DU036", "DU037"}:
        jobs = store.open_jobs(wanted.engine, wanted.app_name)
    if "DU036" in carried_out:
        locked: Iterable[str] = ()
        if wanted.lock is not None and wanted.lock.exists():
            locked = lockfile.read(wanted.lock)
            yield from lockfile.compare(wanted.lock, tasks, jobs)
        if jobs is not None:
            yield from lockfile.unknown(tasks, jobs, locked)
    if "DU037" in carried_out and wanted.engine is not None:
        yield from store.shared_queues(tasks, store.timings(wanted.engine, wanted.app_name))


def _is_named(task: Task, name: str) -> bool:
    return not name or task.name == name or task.name.endswith(f".{name}") or task.node.name == name


def _carry_out(rule: Rule, look: Look, tasks: list[Task], *, everything: bool) -> Iterator[Finding]:
    if (for_task := TASK_RULES.get(rule.id)) is not None:
        for task in tasks:
            if task.is_ours or rule.elsewhere:
                for one in for_task(look, task):
                    yield finding(rule, one, task)
    if (for_place := PLACE_RULES.get(rule.id)) is not None:
        names = {task.node for task in tasks}
        for module in look.enqueuing:
            for one in for_place(look, module):
                if one.task is None or (
                    (everything or one.task.node in names) and (one.task.is_ours or rule.elsewhere)
                ):
                    yield finding(rule, one, one.task)


def finding(rule: Rule, one: Hit, task: Task | None) -> Finding:
    """A hit in words, at its line."""
    node: ast.AST = one.node
    if not hasattr(node, "lineno") or getattr(node, "lineno", 0) < 1:
        node = task.node if task is not None else one.module.tree
    line = getattr(node, "lineno", 1)
    system = task.system if task is not None else "dutiful"
    way = f"through {one.way.strip().replace(' ', ' → ')}: " if one.way.strip() else ""
    return Finding(
        rule=rule.id,
        severity=one.severity or rule.severity,
        path=one.module.shown,
        line=line,
        column=getattr(node, "col_offset", 0) + 1,
        task=task.name if task is not None else "",
        system=system,
        why=f"{way}{one.why}",
        fix=(one.fix if one.fix and (system == "dutiful" or rule.id != "DU016") else "")
        or rule.fix_for(system),
        source=" ".join(one.module.lines[line - 1].split()) if line <= len(one.module.lines) else "",
        first_line=min([line, *(top.lineno for top in getattr(node, "decorator_list", ()))]),
        last_line=_last_line(node),
    )


def _last_line(node: Any) -> int:
    """The last line that still belongs to the head of a statement, where a silence may stand."""
    body = getattr(node, "body", None)
    if isinstance(
        node, Function | ast.For | ast.AsyncFor | ast.While | ast.If | ast.With | ast.Try | ast.ExceptHandler
    ):
        return max(getattr(node, "lineno", 1), body[0].lineno - 1 if body else 0)
    last: int | None = getattr(node, "end_lineno", None)
    first: int = getattr(node, "lineno", 1)
    return last or first


def _merged(found: Iterable[Finding]) -> list[Finding]:
    """A helper that many tasks come by is one finding."""
    kept: dict[tuple[str, str, int, int], Finding] = {}
    names: dict[tuple[str, str, int, int], set[str]] = {}
    for one in found:
        key = (one.rule, one.path, one.line, one.column)
        names.setdefault(key, set()).add(one.task)
        kept.setdefault(key, one)
    return [replace(one, tasks=len(names[key])) for key, one in kept.items()]
