"""What a rule is given and what it gives back."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property

from .catalogue import Severity
from .models import Models
from .reading import Call, Scope, dotted, last, own_nodes
from .schema import Schema
from .sources import Function, Module, Project
from .systems import ENQUEUE_HINT, has_time_limit
from .tasks import Task

TaskRule = Callable[["Look", Task], Iterable["Hit"]]
PlaceRule = Callable[["Look", Module], Iterable["Hit"]]

SYSTEMS_ALL = ("dutiful", "celery", "rq", "dramatiq", "huey", "arq", "django")
ENQUEUES = {
    "dutiful": {"enqueue", "aenqueue"},
    "celery": {"delay", "apply_async"},
    "rq": {"delay"},
    "dramatiq": {"send", "send_with_options"},
    "huey": {"schedule"},
    "arq": set(),
    "django": {"enqueue", "aenqueue"},
}
ANY_ENQUEUE = frozenset().union(*ENQUEUES.values())


@dataclass(frozen=True)
class Hit:
    """A place at which a rule found something."""

    module: Module
    node: ast.AST
    why: str
    fix: str = ""
    """Where the catalogue's own is not exact enough."""
    severity: Severity | None = None
    task: Task | None = None
    way: str = ""


def hit(call: Call | tuple[Scope, ast.AST], why: str, fix: str = "", severity: Severity | None = None) -> Hit:
    """A hit at a call, or at a node of a scope."""
    scope, node = (call.scope, call.node) if isinstance(call, Call) else call
    return Hit(scope.module, node, why, fix, severity, way=scope.way)


@dataclass
class Look:
    """One examination: the project, its tasks, and what is known of the database."""

    project: Project
    tasks: list[Task]
    schema: Schema | None = None
    parts: dict[Function, Task] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.parts = {task.node: task for task in self.tasks}
        self.models = Models(self.project)
        self._enqueues: dict[Module, list[tuple[ast.Call, Task]]] = {}

    @cached_property
    def time_limit(self) -> bool:
        """Whether Celery's configuration has a limit for all tasks."""
        return has_time_limit(self.project)

    @cached_property
    def enqueuing(self) -> list[Module]:
        """The modules in which something may be enqueued."""
        return list(self.project.matching(ENQUEUE_HINT))

    def enqueued(self, module: Module, node: ast.AST) -> Task | None:
        """The task that a call enqueues, as ``task.delay()``, ``task.using(…).enqueue()``."""
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
            return None
        if node.func.attr not in ANY_ENQUEUE:
            return None
        owner = node.func.value
        while isinstance(owner, ast.Call) and last(owner) in ("using", "s", "si", "set"):
            owner = owner.func.value if isinstance(owner.func, ast.Attribute) else owner.func
        name = dotted(owner)
        if "(" in name or "?" in name or "[" in name:
            return None
        found = self.project.find(module, name)
        if found is None or not isinstance(found[1], Function):
            return None
        task = self.parts.get(found[1])
        if task is None or node.func.attr not in ENQUEUES[task.system]:
            return None
        return task

    def enqueues(self) -> Iterator[tuple[Module, Function | None, ast.Call, Task]]:
        """Every place that enqueues a known task: the function around it, the call, the task."""
        for module in self.enqueuing:
            for node, task in self.enqueues_in(module):
                yield module, around(module, node), node, task

    def enqueues_in(self, module: Module) -> list[tuple[ast.Call, Task]]:
        """The calls of one module that enqueue a known task."""
        if module not in self._enqueues:
            self._enqueues[module] = [
                (node, task) for node in module.calls if (task := self.enqueued(module, node)) is not None
            ]
        return self._enqueues[module]


def around(module: Module, node: ast.AST) -> Function | None:
    """The function in which a node stands."""
    one = module.parents.get(node)
    while one is not None and not isinstance(one, Function):
        one = module.parents.get(one)
    return one


def local_nodes(function: Function) -> list[ast.AST]:
    """What runs in a function, nested ones left out."""
    return [one for statement in function.body for one in (statement, *own_nodes(statement))]
