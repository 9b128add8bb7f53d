"""Finds the tasks of each job system by their decorators, or by the call that enqueues a function."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import partial

from .reading import dotted, keyword, last
from .sources import Function, Module, Project
from .tasks import BROAD, Task

SYSTEMS = ("dutiful", "celery", "rq", "dramatiq", "huey", "arq", "django")
HINT = re.compile(
    r"@[\w.()]*(?:task|job|actor|cron|schedule)\b|\bWorkerSettings\b|\benqueue(?:_call|_in|_at)?\("
)
"""A file without any of these has no task in it."""
ENQUEUE_HINT = re.compile(
    r"\.(?:delay|apply_async|send|send_with_options|s|si)\(|\.a?enqueue\b|\benqueue_many\("
)
LATE_ACK = re.compile(
    r"(?:\btask_acks_late|\bCELERY_(?:TASK_)?ACKS_LATE|\bCELERYD?_ACKS_LATE)\b[\"']?\s*[=:]\s*True"
)
TIME_LIMIT = re.compile(
    r"(?:\btask_(?:soft_)?time_limit|\bCELERY(?:D)?_(?:TASK_)?(?:SOFT_)?TIME_LIMIT)\b[\"']?\s*[=:,]"
)

PLAIN = {
    "celery.shared_task": "celery",
    "celery.task": "celery",
    "celery.task.task": "celery",
    "celery.decorators.task": "celery",
    "celery.app.shared_task": "celery",
    "rq.job": "rq",
    "rq.decorators.job": "rq",
    "django_rq.job": "rq",
    "django_rq.decorators.job": "rq",
    "dramatiq.actor": "dramatiq",
    "huey.contrib.djhuey.task": "huey",
    "huey.contrib.djhuey.db_task": "huey",
    "huey.contrib.djhuey.periodic_task": "huey",
    "huey.contrib.djhuey.db_periodic_task": "huey",
    "django.tasks.task": "django",
    "django_tasks.task": "django",
}
"""Decorators by their full name."""
METHODS = {"celery": {"task"}, "huey": {"task", "periodic_task"}, "dutiful": {"task"}, "rq": {"job"}}
"""Methods of an object that make a task."""
WRAPPERS = {"task": "celery", "shared_task": "celery", "job": "rq", "actor": "dramatiq"}
"""Functions of a project's own that do nothing but call the decorator of a system that they import."""


def find_tasks(project: Project) -> list[Task]:
    """Every task of the project, in the order of the files; each function once."""
    found: dict[Function, Task] = {}
    for module in project.matching(HINT):
        for task in _in_module(project, module):
            if task.node not in found:
                found[task.node] = task
            elif task.system == "rq" and task.retried:
                found[task.node].retried = True
    tasks = list(found.values())
    late = any(
        "acks_late" in text.lower() and LATE_ACK.search(text)
        for text in map(project.text, project.given)
        if text is not None
    )
    own = {f"{task.module.name}:{task.node.name}" for task in tasks}
    for task in tasks:
        task.project, task.stops = project, own.__contains__
        if task.system == "celery" and late and "acks_late" not in task.options:
            task.redelivered = True
    return tasks


def has_time_limit(project: Project) -> bool:
    """Whether Celery's configuration sets a time limit for every task, as far as can be read."""
    return any(
        "time_limit" in text.lower() and TIME_LIMIT.search(text)
        for text in map(project.text, project.given)
        if text is not None
    )


def _in_module(project: Project, module: Module) -> Iterator[Task]:
    for node in sorted(
        (one for one in module.parents if isinstance(one, Function | ast.ClassDef | ast.Call)),
        key=lambda one: one.lineno,
    ):
        if isinstance(node, Function):
            for decorator in node.decorator_list:
                task = _decorated(project, module, node, decorator)
                if task is not None:
                    task.scheduled = task.scheduled or any(
                        last_word(one) in ("schedule", "periodic_task", "db_periodic_task")
                        for one in node.decorator_list
                    )
                    yield task
                    break
        elif isinstance(node, ast.ClassDef) and node.name.endswith("WorkerSettings"):
            yield from _arq(project, module, node)
        elif isinstance(node, ast.Call) and last(node) in (
            "enqueue",
            "enqueue_call",
            "enqueue_in",
            "enqueue_at",
        ):
            yield from _enqueued(project, module, node)


def last_word(decorator: ast.expr) -> str:
    """The last word of a decorator's name."""
    return dotted(decorator.func if isinstance(decorator, ast.Call) else decorator).rpartition(".")[2]


def _decorated(project: Project, module: Module, node: Function, decorator: ast.expr) -> Task | None:
    function = decorator.func if isinstance(decorator, ast.Call) else decorator
    name = dotted(function)
    if "?" in name:
        return None
    system = (
        PLAIN.get(module.meaning(name))
        or _by_object(project, module, name)
        or _by_wrapper(project, module, name)
    )
    if system is None:
        return None
    options = {}
    if isinstance(decorator, ast.Call):
        options = {one.arg: one.value for one in decorator.keywords if one.arg is not None}
        if system == "rq" and decorator.args:
            options.setdefault("queue", decorator.args[0])
    task = Task(system, _name(module, node, options), module, node, options)
    if system == "dutiful":
        task.app = module.meaning(name.rpartition(".")[0])
    task.scheduled = name.endswith("periodic_task")
    return with_repeats(task)


def _name(module: Module, node: Function, options: dict[str, ast.expr]) -> str:
    given = options.get("name", options.get("actor_name"))
    if isinstance(given, ast.Constant) and isinstance(given.value, str):
        return given.value
    return f"{module.name}.{node.name}"


def _by_object(project: Project, module: Module, name: str) -> str | None:
    """``app.task`` where ``app`` is made by ``Celery(…)``, ``App(…)`` or a Huey, here or elsewhere."""
    owner, _, method = name.rpartition(".")
    if not owner:
        return None
    system = _maker(made_by(project, module, owner)) or _known(module.meaning(owner))
    if system is None and method == "task":
        # its origin is not in the project: what is called celery, or comes from celery, is one
        full = module.meaning(owner).lower()
        if ("celery" in full and "." in full) or owner.lower().endswith("celery"):
            system = "celery"
    return system if system is not None and method in METHODS.get(system, ()) else None


def made_by(project: Project, module: Module, owner: str) -> str:
    """The full name of what was called to make the object of that name; empty if that is not seen."""
    found = project.find(module, owner)
    if found is None:
        # made inside a function, or in the class around
        for node in ast.walk(module.tree):
            if not isinstance(node, ast.Assign) or not isinstance(node.value, ast.Call):
                continue
            if any(dotted(one) == owner for one in node.targets):
                return module.meaning(dotted(node.value.func))
        return ""
    where, statement = found
    value = statement.value if isinstance(statement, ast.Assign | ast.AnnAssign) else None
    if isinstance(value, ast.Call):
        made = where.meaning(dotted(value.func))
        home = project.find(where, dotted(value.func))
        if home is not None and isinstance(home[1], Function | ast.ClassDef):
            return _through(home[0], home[1]) or made
        return made
    return ""


def _through(module: Module, node: Function | ast.ClassDef) -> str:
    """What a project's own factory or subclass stands for."""
    if isinstance(node, ast.ClassDef):
        for base in node.bases:
            if _maker(full := module.meaning(dotted(base))):
                return full
        return f"{module.name}.{node.name}"
    for one in ast.walk(node):
        if isinstance(one, ast.Call) and _maker(full := module.meaning(dotted(one.func))):
            return full
    return ""


def _maker(full: str) -> str | None:
    if full in ("dutiful.App", "dutiful.app.App", "dutiful.app.app.App"):
        return "dutiful"
    if full.startswith("celery.") and full.endswith(".Celery"):
        return "celery"
    if full.startswith("huey.") and full.endswith("Huey"):
        return "huey"
    if full.startswith("flask_rq"):
        return "rq"
    return None


def _known(full: str) -> str | None:
    """The system of an object that a library gives out ready made."""
    return "huey" if full in ("huey.contrib.djhuey.HUEY", "huey.contrib.djhuey.huey") else None


def _by_wrapper(project: Project, module: Module, name: str) -> str | None:
    word = name.rpartition(".")[2]
    system = WRAPPERS.get(word)
    if system is None:
        return None
    found = project.find(module, name)
    needle = {"rq": ("rq", "django_rq"), "celery": ("celery",), "dramatiq": ("dramatiq",)}[system]
    if found is None:
        # the wrapper's own file may be in a newer Python than this one reads
        home = project.name_of(module.meaning(name).rpartition(".")[0])
        text = project.text(home) if home else None
        return (
            system
            if text and re.search(rf"^\s*(?:import|from) (?:{'|'.join(needle)})\b", text, re.M)
            else None
        )
    tops = {one.partition(".")[0] for one in found[0].imports.values()}
    return system if tops.intersection(needle) else None


def _arq(project: Project, module: Module, node: ast.ClassDef) -> Iterator[Task]:
    if not any(one.partition(".")[0] == "arq" for one in module.imports.values()):
        texts = [dotted(base) for base in node.bases]
        if node.name != "WorkerSettings" and not any("WorkerSettings" in one for one in texts):
            return
    for statement in node.body:
        if not isinstance(statement, ast.Assign | ast.AnnAssign) or statement.value is None:
            continue
        targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
        names = {dotted(one) for one in targets}
        if not names & {"functions", "cron_jobs"}:
            continue
        for one in getattr(statement.value, "elts", []):
            call = one if isinstance(one, ast.Call) else None
            inner = call.args[0] if call is not None and call.args else one
            found = project.find(module, dotted(inner))
            if found is not None and isinstance(found[1], Function):
                options = {} if call is None else {k.arg: k.value for k in call.keywords if k.arg}
                task = Task("arq", f"{found[0].name}.{found[1].name}", found[0], found[1], options)
                task.scheduled = "cron_jobs" in names
                yield with_repeats(task)


def _enqueued(project: Project, module: Module, node: ast.Call) -> Iterator[Task]:
    """RQ takes any function: ``queue.enqueue(f, …)``."""
    name = module.meaning(dotted(node.func))
    first = 1 if last(node) in ("enqueue_in", "enqueue_at") else 0
    function = node.args[first] if len(node.args) > first else keyword(node, "func", "f")
    if function is None or not isinstance(function, ast.Name | ast.Attribute):
        return
    tops = {one.partition(".")[0] for one in module.imports.values()}
    if not (tops & {"rq", "django_rq", "flask_rq2"} or name.startswith("django_rq.")):
        return
    found = project.find(module, dotted(function))
    if found is None or not isinstance(found[1], Function):
        return
    task = Task("rq", f"{found[0].name}.{found[1].name}", found[0], found[1])
    if (retry := keyword(node, "retry")) is not None:
        task.options["retry"] = retry
    if (limit := keyword(node, "job_timeout", "timeout")) is not None:
        task.options["timeout"] = limit
    yield with_repeats(task)


def with_repeats(task: Task) -> Task:
    """What each system promises about running a body again, by its documentation."""
    constant = partial(task.constant)
    if task.system == "dutiful":
        at_least_once = task.delivery == "at_least_once"
        task.retried = at_least_once and constant("retry", -1) != 0
        task.redelivered = at_least_once and constant("crashes", -1) != 0
    elif task.system == "celery":
        task.redelivered = constant("acks_late") is True
        if "autoretry_for" in task.options and constant("max_retries", -1) != 0:
            value = task.options["autoretry_for"]
            names = [dotted(one).rpartition(".")[2] for one in getattr(value, "elts", [])]
            task.retried = bool(BROAD.intersection(names))
            task.narrow = () if task.retried else tuple(names)
    elif task.system == "dramatiq":
        task.redelivered = True
        task.retried = constant("max_retries", -1) != 0
    elif task.system == "arq":
        task.redelivered = constant("max_tries", 5) != 1
    elif task.system == "huey":
        task.retried = bool(constant("retries", 0))
    elif task.system == "rq":
        task.retried = "retry" in task.options and constant("retry", 1) is not None
    return task
