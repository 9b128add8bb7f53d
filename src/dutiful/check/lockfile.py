"""``dutiful.lock``: the tasks, arguments and aliases that deployed code has, for the rule DU036."""

from __future__ import annotations

import ast
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from .findings import Finding
from .tasks import Task

PATH = Path("dutiful.lock")
SCHEMA = "dutiful/check.lock/1"


class BadLock(ValueError):
    """The file is no lock of ours; the message says why."""


def entries(tasks: Iterable[Task]) -> dict[str, dict[str, Any]]:
    """What is kept of each task of dutiful, by its name."""
    return {
        task.name: {
            "args": [one.arg for one in task.parameters],
            "version": task.constant("version", 1),
            "aliases": sorted(task.constant("aliases", ())),
        }
        for task in tasks
        if task.is_ours
    }


def write(path: Path, tasks: Iterable[Task]) -> int:
    """Write the file; returns how many tasks it has."""
    found = entries(tasks)
    document = {"schema": SCHEMA, "tasks": found}
    path.write_text(json.dumps(document, indent=1, sort_keys=True) + "\n", "utf-8")
    return len(found)


def read(path: Path) -> dict[str, dict[str, Any]]:
    """The tasks in the file. Raises BadLock."""
    try:
        document = json.loads(path.read_text("utf-8"))
        if document["schema"] != SCHEMA:
            raise BadLock(f"{path}: its schema is {document['schema']!r}, not {SCHEMA!r}.")
        tasks: dict[str, dict[str, Any]] = document["tasks"]
        assert all(isinstance(one["args"], list) for one in tasks.values())
    except BadLock:
        raise
    except (OSError, ValueError, KeyError, TypeError, AttributeError, AssertionError) as error:
        raise BadLock(
            f"{path} is no lock of dutiful check: {error}. Write it anew: dutiful check --lock"
        ) from error
    return tasks


def compare(path: Path, tasks: list[Task], open_jobs: dict[str, int] | None) -> Iterator[Finding]:
    """What the lock has and the code has not; with a store, only what jobs still name."""
    now = {task.name: task for task in tasks if task.is_ours}
    aliases = {alias: task for task in now.values() for alias in task.constant("aliases", ())}
    lines = path.read_text("utf-8").splitlines()
    for name, entry in read(path).items():
        line = next((number for number, text in enumerate(lines, 1) if f'"{name}"' in text), 1)
        jobs = None if open_jobs is None else open_jobs.get(name, 0)
        waiting = "" if jobs is None else f", and {jobs:,} open jobs name it"
        if jobs == 0:
            continue
        task = now.get(name, aliases.get(name))
        if task is None:
            why = f"{name} is in {path}, and the code has no task or alias of that name{waiting}"
            yield _finding(str(path), line, name, why, f'aliases=["{name}"] on the task that took its place')
            continue
        have = {one.arg for one in task.parameters}
        gone = [one for one in entry["args"] if one not in have]
        if gone and task.node.args.kwarg is None and task.constant("version", 1) <= entry.get("version", 1):
            args = ", ".join(gone)
            why = f"{args} is gone from {name}: jobs that wait still carry it{waiting}"
            fix = f"version={entry.get('version', 1) + 1}, and take {args} for one more deploy"
            yield _finding(task.module.shown, task.node.lineno, name, why, fix)
        needs = [one for one in _required(task) if one not in entry["args"]]
        if needs and task.constant("version", 1) <= entry.get("version", 1):
            args = ", ".join(needs)
            why = f"{args} is new in {name} and has no default: jobs that wait do not carry it{waiting}"
            yield _finding(task.module.shown, task.node.lineno, name, why, f"{needs[0]} with a default")


def unknown(tasks: list[Task], open_jobs: dict[str, int], locked: Iterable[str]) -> Iterator[Finding]:
    """Jobs in the live table whose task the code has not; only where the code has tasks of dutiful at all."""
    names = {task.name for task in tasks if task.is_ours}
    aliases = {alias for task in tasks if task.is_ours for alias in task.constant("aliases", ())}
    for name, count in sorted(open_jobs.items()):
        if names and name not in names | aliases | set(locked):
            yield _finding("(store)", 1, name, f"{count:,} open jobs are of {name}, which the code has not",
                           f'aliases=["{name}"] on the task that took its place')  # fmt: skip


def _required(task: Task) -> list[str]:
    arguments = task.node.args
    plain = [*arguments.posonlyargs, *arguments.args]
    with_default: set[ast.arg] = set(
        plain[len(plain) - len(arguments.defaults) :] if arguments.defaults else ()
    )
    with_default |= {
        one
        for one, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)
        if default is not None
    }
    return [one.arg for one in task.parameters if one not in with_default]


def _finding(path: str, line: int, task: str, why: str, fix: str) -> Finding:
    return Finding("DU036", "W", path, line, 1, task, "dutiful", why, fix, source=task)
