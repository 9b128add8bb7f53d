"""Rules on what a body writes: relative writes, inserts without a key, lost updates, order."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from ..looking import Hit, Look, hit
from ..outside import in_transaction, is_write, model_of, sql_of
from ..reading import Call, Scope, dotted, keyword, last, own_nodes
from ..registry import rule
from ..tasks import Task

RELATIVE_SQL = re.compile(r"\bset\b(?P<set>.*?)(?:\bwhere\b(?P<where>.*))?$", re.I | re.S)
COUNTS_TRIES = re.compile(r"attempt|retr|tries|fail|error|lock|version|lease", re.I)
"""What is meant to count the runs."""
INSERT = re.compile(r"^\s*insert\s+into\s+([\w.\"]+)\s*\(([^)]*)\)", re.I)


@rule("DU001")
def relative_write(look: Look, task: Task) -> Iterator[Hit]:
    """``set n = n + 1``, ``F("n") + 1``, ``account.balance += 1; account.save()``."""
    if not task.again:
        return
    for scope, node in task.nodes():
        found = _relative(scope, node)
        if not found or COUNTS_TRIES.search(found) or _in_handler(scope, node):
            continue
        if not task.redelivered and in_transaction(scope, node):
            continue  # what raises rolls it back
        why = task.runs_again_after(scope, node, by_itself=False)
        if why:
            yield hit((scope, node), f"{found} changes relative to itself, and {why}")


def _relative(scope: Scope, node: ast.AST) -> str:
    """The name of what is changed by itself; empty if nothing is."""
    if isinstance(node, ast.Call):
        sql = sql_of(Call(scope, node, ""))
        if re.match(r"\s*update\b", sql, re.I):
            return _relative_sql(sql)
        if last(node) == "update" and "objects" in dotted(node.func).split("."):
            changed = {one.arg: one.value for one in node.keywords if one.arg}
            asked = {
                one.arg
                for call in ast.walk(node.func)
                if isinstance(call, ast.Call) and last(call) in ("filter", "exclude")
                for one in call.keywords
            }
            if any(name in asked for name in changed):
                return ""  # what it looks for is no more when it is done: it works once
            return next((name for name, value in changed.items() if _plus_f(scope, name, value)), "")
    if isinstance(node, ast.Assign) and isinstance(owned := node.targets[0], ast.Attribute):
        is_relative = _plus_f(scope, owned.attr, node.value) and _saved(scope, owned.value, node)
        return owned.attr if is_relative else ""
    if isinstance(node, ast.AugAssign) and isinstance(node.op, ast.Add | ast.Sub):
        target = node.target
        if (
            isinstance(target, ast.Attribute)
            and isinstance(target.value, ast.Name)
            and model_of(scope, target.value.id)
            and _saved(scope, target.value, node)
            and _is_number(node.value)
        ):
            return target.attr
    return ""


def _relative_sql(sql: str) -> str:
    name: str
    parts = RELATIVE_SQL.search(sql)
    if parts is None:
        return ""
    changes = re.findall(r"([\w.\"]+)\s*=\s*([^,]+)", parts["set"])
    where = parts["where"] or ""
    names = [name.strip('"').rpartition(".")[2].lower() for name, _ in changes]
    if any(re.search(rf"\b{re.escape(name)}\b\s*(?:=|<|>|is\b|in\b)", where, re.I) for name in names):
        return ""  # it compares what it changes
    for name, (_, value) in zip(names, changes, strict=True):
        if re.match(rf"(?:\w+\.)?\"?{re.escape(name)}\"?\s*[-+]", value.strip(), re.I) or re.search(
            rf"\bcoalesce\s*\(\s*(?:\w+\.)?{re.escape(name)}\s*,[^)]*\)\s*[-+]", sql, re.I
        ):
            return name
    return ""


def _plus_f(scope: Scope, name: str, value: ast.expr) -> bool:
    """``F(name) + something`` that is not nothing."""
    if not isinstance(value, ast.BinOp) or not isinstance(value.op, ast.Add | ast.Sub):
        return False
    left = value.left
    return (
        isinstance(left, ast.Call)
        and scope.meaning(left.func).rpartition(".")[2] == "F"
        and bool(left.args)
        and isinstance(left.args[0], ast.Constant)
        and left.args[0].value == name
    )


def _is_number(value: ast.expr) -> bool:
    return not isinstance(value, ast.JoinedStr | ast.List | ast.Tuple | ast.Dict) and not (
        isinstance(value, ast.Constant) and not isinstance(value.value, int | float)
    )


def _saved(scope: Scope, owner: ast.expr, after: ast.stmt) -> bool:
    name = dotted(owner)
    return any(
        isinstance(one, ast.Call)
        and last(one) in ("save", "asave")
        and isinstance(one.func, ast.Attribute)
        and dotted(one.func.value) == name
        and one.lineno >= after.lineno
        for one in scope.nodes()
    )


def _in_handler(scope: Scope, node: ast.AST) -> bool:
    return any(isinstance(one, ast.ExceptHandler) for _, one in scope.all_above(node))


@rule("DU002")
def insert_without_key(look: Look, task: Task) -> Iterator[Hit]:
    """An INSERT whose columns hold no unique key of the table, and no ON CONFLICT."""
    if look.schema is None or not task.again:
        return
    for call in task.calls:
        sql = sql_of(call)
        found = INSERT.match(sql)
        if found is None or re.search(r"\bon\s+conflict\b|\bwhere\s+not\s+exists\b", sql, re.I):
            continue
        if not task.redelivered and in_transaction(call.scope, call.node):
            continue
        keys = look.schema.table(found[1].replace('"', ""))
        columns = {one.strip().strip('"').lower() for one in found[2].split(",")}
        if keys is None or any(key <= columns for key in keys):
            continue
        why = task.runs_again_after(call.scope, call.node, by_itself=False)
        if why:
            table = found[1].replace('"', "")
            yield hit(
                call,
                f"no unique key of {table} is among {', '.join(sorted(columns))}, and {why}",
                f"unique (…) on what makes a row of {table} the same, and: insert … on conflict do nothing",
            )


@rule("DU003")
def look_then_insert(look: Look, task: Task) -> Iterator[Hit]:
    """``get_or_create`` and ``if not exists(): create()`` over fields that are not unique."""
    for call in task.calls:
        parts = call.name.split(".")
        if parts[-1] in ("get_or_create", "update_or_create") and "objects" in parts:
            fields = [one.arg for one in call.node.keywords if one.arg and one.arg != "defaults"]
            model = dotted(call.node.func).split(".objects")[0]
            if fields and not has_double_star(call.node) and _no_key(look, call.scope, model, fields):
                yield hit(call, f"{model} has no unique key within {', '.join(fields)}")
    for scope, node in task.nodes():
        if (
            isinstance(node, ast.If)
            and isinstance(node.test, ast.UnaryOp)
            and isinstance(node.test.op, ast.Not)
        ):
            test = node.test.operand
            if not isinstance(test, ast.Call) or last(test) not in ("exists", "first"):
                continue
            model = dotted(test.func).split(".objects")[0]
            fields = [
                one.arg for inner in ast.walk(test) if isinstance(inner, ast.Call)
                and last(inner) == "filter" for one in inner.keywords if one.arg
            ]  # fmt: skip
            makers = (f"{model}.objects.create", f"{model}.objects.acreate")
            makes = any(
                isinstance(one, ast.Call) and dotted(one.func) in makers
                for statement in node.body
                for one in ast.walk(statement)
            )
            if fields and makes and _no_key(look, scope, model, fields):
                yield hit((scope, node), f"{model} has no unique key within {', '.join(fields)}")


def has_double_star(node: ast.Call) -> bool:
    """Whether ``**something`` hides which fields there are."""
    return any(one.arg is None for one in node.keywords)


def _no_key(look: Look, scope: Scope, model: str, fields: list[str]) -> bool:
    unique = look.models.unique(scope.module, model)
    if unique is None:
        return False
    asked = {name.removesuffix("__iexact").removesuffix("__exact") for name in fields}
    if any("__" in name for name in asked):
        return False
    asked |= {f"{name}_id" for name in asked} | {name.removesuffix("_id") for name in asked}
    return not any(key <= asked for key in unique)


@rule("DU028")
def order_assumed(look: Look, task: Task) -> Iterator[Hit]:
    """A version that is counted up without being compared."""
    if task.is_ours and ("order" in task.options or "lock" in task.options):
        return
    for scope, node in task.nodes():
        name = ""
        if isinstance(node, ast.AugAssign) and isinstance(node.target, ast.Attribute):
            if (
                node.target.attr in ("version", "revision", "sequence")
                and isinstance(node.target.value, ast.Name)
                and model_of(scope, node.target.value.id)
                and not locked(scope, node.target.value.id)
            ):
                name = node.target.attr
        elif isinstance(node, ast.Call):
            sql = sql_of(Call(scope, node, ""))
            found = re.search(r"\bset\b.*?\b(version|revision|sequence)\s*=\s*\1\s*\+", sql, re.I | re.S)
            if found and not re.search(rf"\bwhere\b.*\b{found[1]}\s*(?:=|<)", sql, re.I | re.S):
                name = found[1]
        if name:
            yield hit((scope, node), f"{name} is counted up, and nothing says that the job before it is done")


def locked(scope: Scope, name: str) -> bool:
    """Whether a row was read with its lock."""
    return any("select_for_update" in dotted(value) or "with_for_update" in ast.unparse(value)
               for value in scope.assigned(name))  # fmt: skip


@rule("DU033")
def lost_update(look: Look, task: Task) -> Iterator[Hit]:
    """``o = get(); o.n = o.n + 1; o.save()`` without a lock."""
    again = {(one.module.name, getattr(one.node, "lineno", 0)) for one in relative_write(look, task)}
    target: ast.expr
    for scope, node in task.nodes():
        if isinstance(node, ast.AugAssign):
            target, changes = node.target, isinstance(node.op, ast.Add | ast.Sub)
        elif isinstance(node, ast.Assign):
            target, changes = node.targets[0], False
            if isinstance(target, ast.Attribute):
                own = dotted(target)
                changes = isinstance(node.value, ast.BinOp) and any(
                    isinstance(one, ast.Attribute) and dotted(one) == own for one in ast.walk(node.value)
                )
        else:
            continue
        if not changes or not isinstance(target, ast.Attribute) or not isinstance(target.value, ast.Name):
            continue
        name = target.value.id
        if (scope.module.name, node.lineno) in again or not model_of(scope, name) or locked(scope, name):
            continue
        if target.attr not in ("version", "revision", "sequence") and _saved(scope, target.value, node):
            yield hit(
                (scope, node),
                f"{name}.{target.attr} is written back as computed from what was read, without a lock",
            )


@rule("DU007")
def several_writes(look: Look, task: Task) -> Iterator[Hit]:
    """Two commits, or writes that each commit by themselves."""
    if task.is_ours and task.delivery == "exactly_once":
        return
    for scope in task.scopes:
        yield from _two_commits(task, scope)
        yield from _two_autocommits(scope)


def _two_commits(task: Task, scope: Scope) -> Iterator[Hit]:
    """``session.commit()`` twice in one straight line, with writes before each."""
    commits: dict[str, ast.Call] = {}
    for statement in scope.node.body:
        call = statement.value if isinstance(statement, ast.Expr) else None
        call = call.value if isinstance(call, ast.Await) else call
        if (
            not isinstance(call, ast.Call)
            or last(call) != "commit"
            or not isinstance(call.func, ast.Attribute)
        ):
            continue
        owner = dotted(call.func.value)
        if (
            owner in commits
            and _writes_between(scope, owner, commits[owner], call)
            and _writes_between(scope, owner, None, commits[owner])
        ):
            why = f"{owner} commits here and at line {commits[owner].lineno}, which leaves half in between"
            yield hit((scope, call), why)
            return
        commits[owner] = call


def _writes_between(scope: Scope, owner: str, start: ast.Call | None, end: ast.Call) -> bool:
    low = 0 if start is None else start.lineno
    for one in scope.nodes():
        if not isinstance(one, ast.Call) or not low < one.lineno < end.lineno:
            continue
        if not isinstance(one.func, ast.Attribute) or dotted(one.func.value) != owner:
            continue
        if one.func.attr in ("add", "add_all", "delete", "merge", "bulk_save_objects"):
            return True
        if one.func.attr in ("execute", "executemany") and is_write(Call(scope, one, "")):
            return True
    return False


def _two_autocommits(scope: Scope) -> Iterator[Hit]:
    """Django's writes outside ``atomic``: rows made or removed in two tables, one after the other."""
    for block in _blocks(scope):
        first: tuple[ast.Call, str] | None = None
        for statement in block:
            nodes = [
                statement,
                *(own_nodes(statement) if isinstance(statement, ast.Expr | ast.Assign) else ()),
            ]
            for node in nodes:
                if not isinstance(node, ast.Call):
                    continue
                call = Call(scope, node, scope.meaning(node.func))
                if sql_of(call) or last(node) not in ("create", "acreate", "bulk_create"):
                    continue
                model = is_write(call)
                if not model or in_transaction(scope, node):
                    continue
                if first is not None and first[1] != model and not _conflicts_ignored(node):
                    yield hit(
                        call,
                        f"this and the write of {first[1]} at line {first[0].lineno} commit one by one: "
                        "a worker that dies in between leaves half of the work",
                        "with transaction.atomic(): around both",
                        "W",
                    )
                    return
                first = (node, model)


def _conflicts_ignored(node: ast.Call) -> bool:
    return isinstance(flag := keyword(node, "ignore_conflicts"), ast.Constant) and flag.value is True


def _blocks(scope: Scope) -> Iterator[list[ast.stmt]]:
    yield scope.node.body
    for node in scope.nodes():
        if isinstance(node, ast.If | ast.With | ast.AsyncWith | ast.Try | ast.For | ast.AsyncFor | ast.While):
            yield node.body
