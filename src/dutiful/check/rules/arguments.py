"""Rules on what a task is given: objects, secrets, the request."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from ..looking import Hit, Look, around, hit
from ..outside import model_of
from ..reading import Scope, dotted
from ..registry import place_rule, rule
from ..sources import Module
from ..tasks import Task

SECRET = re.compile(
    r"^(?!is_|has_|with_|use_)(?:\w+_)?"
    r"(?:password|passwd|secret|secret_key|api_key|apikey|private_key|client_secret|access_token|auth_token|"
    r"refresh_token|bearer_token|card_number|cvv|credit_card|credentials)$",
    re.I,
)
HANDLES = re.compile(
    r"^(?:IO|TextIO|BinaryIO|TextIOWrapper|BufferedReader|HttpRequest|DataFrame|Session|AsyncSession|"
    r"Connection|AsyncConnection|QuerySet|socket)$"
)
CONTAINERS = frozenset(
    {"list", "List", "set", "Set", "tuple", "Tuple", "dict", "Dict", "Sequence", "Iterable", "Optional",
     "Union", "Collection", "Mapping"}
)  # fmt: skip
REQUEST = (
    "flask.request", "flask.session", "flask_login.current_user", "flask_login.utils.current_user",
    "crum.get_current_user", "crum.get_current_request", "django.utils.translation.get_language",
    "pyramid.threadlocal.get_current_request", "starlette_context.context",
)  # fmt: skip


@rule("DU014")
def object_argument(look: Look, task: Task) -> Iterator[Hit]:
    """A parameter whose type is a model of the project, a handle, or a request."""
    for one in task.parameters:
        if one.annotation is None:
            continue
        for name in _types(one.annotation):
            short = name.rpartition(".")[2]
            if HANDLES.match(short) or _is_model(look, task.module, name):
                why = f"{one.arg} is a {short}, which is stored as it was, or not at all"
                yield Hit(task.module, one, why, f"{one.arg}_id: int, and read it inside")
                break


@place_rule("DU014")
def object_enqueued(look: Look, module: Module) -> Iterator[Hit]:
    """``task.delay(order)`` where ``order`` is a row that was read, ``self`` of a model, or the request."""
    for node, task in look.enqueues_in(module):
        function = around(module, node)
        if function is None or node.func.attr in ("apply_async", "send_with_options"):  # type: ignore[attr-defined]
            continue
        scope = Scope(module, function)
        for value in (*node.args, *(one.value for one in node.keywords if one.arg is not None)):
            if not isinstance(value, ast.Name):
                continue
            what = ""
            if value.id == "request" and value.id in {one.arg for one in function.args.args}:
                what = "the request"
            elif value.id == "self" and _is_method_of_model(look, module, function):
                what = "the model itself"
            elif model := model_of(scope, value.id):
                what = f"a {model}"
            if what:
                yield Hit(module, node, f"{value.id} is {what}: an object, not a reference",
                          f"{value.id}.id, and read it inside", task=task)  # fmt: skip
                break


def _types(annotation: ast.expr) -> Iterator[str]:
    if isinstance(annotation, ast.Constant) and isinstance(annotation.value, str):
        try:
            annotation = ast.parse(annotation.value, mode="eval").body
        except SyntaxError:
            return
    if isinstance(annotation, ast.BinOp):
        yield from _types(annotation.left)
        yield from _types(annotation.right)
    elif isinstance(annotation, ast.Subscript):
        if dotted(annotation.value).rpartition(".")[2] in CONTAINERS:
            for one in getattr(annotation.slice, "elts", [annotation.slice]):
                yield from _types(one)
        yield dotted(annotation.value)
    else:
        yield dotted(annotation)


def _is_model(look: Look, module: Module, name: str, depth: int = 0) -> bool:
    """Whether a class of the project is a row of a database: Django's, or SQLAlchemy's declarative ones."""
    found = look.project.find(module, name)
    if found is None or not isinstance(found[1], ast.ClassDef) or depth > 5:
        return False
    where, node = found[0], found[1]
    assert isinstance(node, ast.ClassDef)
    table = any(
        isinstance(one, ast.Assign) and dotted(one.targets[0]) == "__tablename__" for one in node.body
    )
    return table or any(
        (full := where.meaning(dotted(base))).startswith(
            ("django.db.models.Model", "django.contrib.gis.db.models.Model")
        )
        or full.endswith("db.Model")
        or _is_model(look, where, dotted(base), depth + 1)
        for base in node.bases
    )


def _is_method_of_model(look: Look, module: Module, function: ast.AST) -> bool:
    home = module.parents.get(function)
    return isinstance(home, ast.ClassDef) and _is_model(look, module, home.name)


@rule("DU015")
def secret_argument(look: Look, task: Task) -> Iterator[Hit]:
    """A parameter named like a secret."""
    for one in task.parameters:
        if not SECRET.match(one.arg) or "Secret" in (ast.unparse(one.annotation) if one.annotation else ""):
            continue
        yield Hit(
            task.module, one, f"{one.arg} is stored with the job, and shown to who may look at the queue"
        )
    for one in task.parameters:
        if one.arg == "token" and "Secret" not in (ast.unparse(one.annotation) if one.annotation else ""):
            yield Hit(
                task.module, one, "token sounds like a secret, and is stored with the job", severity="W"
            )


@rule("DU035")
def reads_request(look: Look, task: Task) -> Iterator[Hit]:
    """``flask.request``, ``current_user`` and their like in a body."""
    seen: set[str] = set()
    for scope, node in task.nodes():
        if isinstance(node, ast.Name | ast.Attribute):
            name = scope.meaning(node)
            if scope.depth <= 1 and name in REQUEST and name not in seen and not _local(scope, node):
                seen.add(name)
                yield hit((scope, node), f"{dotted(node)} belongs to a request; in a worker there is none")


def _local(scope: Scope, node: ast.AST) -> bool:
    head = dotted(node).split(".")[0]
    return bool(scope.assigned(head)) or head in {one.arg for one in scope.node.args.args}
