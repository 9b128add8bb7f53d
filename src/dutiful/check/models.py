"""Which fields of a model are unique, read from its class: Django's, without importing it."""

from __future__ import annotations

import ast

from .reading import dotted, keyword, last
from .sources import Module, Project

BASES_MAX = 6


class Models:
    """The models of a project, read when they are asked for."""

    def __init__(self, project: Project) -> None:
        self._project = project
        self._known: dict[tuple[str, str], list[frozenset[str]] | None] = {}

    def unique(self, module: Module, name: str) -> list[frozenset[str]] | None:
        """The sets of fields that are unique together; None if the model, or a base of it, is not seen."""
        key = (module.name, name)
        if key not in self._known:
            self._known[key] = None  # for models that inherit in a circle
            found = self._project.find(module, name)
            if found is not None and isinstance(found[1], ast.ClassDef):
                self._known[key] = self._of_class(found[0], found[1], 0)
        return self._known[key]

    def _of_class(self, module: Module, node: ast.ClassDef, depth: int) -> list[frozenset[str]] | None:
        if depth > BASES_MAX or not node.bases:
            return None
        sets: list[frozenset[str]] = [frozenset({"id"}), frozenset({"pk"})]
        for base in node.bases:
            name = dotted(base)
            full = module.meaning(name)
            if full.rpartition(".")[2] == "Model" and full.startswith(("django.", "models.")):
                continue
            found = self._project.find(module, name)
            if found is None or not isinstance(found[1], ast.ClassDef):
                return None
            if not found[1].bases or found[1].name.endswith("Mixin"):
                continue
            inherited = self._of_class(*found, depth + 1)  # type: ignore[arg-type]
            if inherited is None:
                return None
            sets += inherited
        for statement in node.body:
            sets += _of_statement(statement)
        return sets


def _of_statement(statement: ast.stmt) -> list[frozenset[str]]:
    if isinstance(statement, ast.ClassDef) and statement.name == "Meta":
        return [one for inner in statement.body for one in _of_meta(inner)]
    if isinstance(statement, ast.AnnAssign):
        target: ast.expr = statement.target
    elif isinstance(statement, ast.Assign):
        target = statement.targets[0]
    else:
        return []
    value = statement.value
    if not isinstance(target, ast.Name) or not isinstance(value, ast.Call):
        return []
    if last(value) in ("OneToOneField", "AutoOneToOneField") or any(
        isinstance(flag := keyword(value, word), ast.Constant) and flag.value is True
        for word in ("unique", "primary_key")
    ):
        return [frozenset({target.id}), frozenset({f"{target.id}_id"})]
    return []


def _of_meta(statement: ast.stmt) -> list[frozenset[str]]:
    if not isinstance(statement, ast.Assign) or not isinstance(statement.targets[0], ast.Name):
        return []
    name, value = statement.targets[0].id, statement.value
    found = []
    if name == "unique_together":
        groups = getattr(value, "elts", [])
        if groups and all(isinstance(one, ast.Constant) for one in groups):
            groups = [value]
        found = [_strings(group) for group in groups]
    elif name == "constraints":
        for one in getattr(value, "elts", []):
            if isinstance(one, ast.Call) and last(one) == "UniqueConstraint":
                fields = keyword(one, "fields")
                # one of expressions may be over any fields: taken for one that fits all
                found.append(_strings(fields) if fields is not None else frozenset())
                if (condition := keyword(one, "condition")) is not None:
                    # unique while the condition holds: enough for whoever looks for just that
                    found.append(frozenset(part.arg for part in ast.walk(condition)
                                           if isinstance(part, ast.keyword) and part.arg))  # fmt: skip
    return found


def _strings(node: ast.AST) -> frozenset[str]:
    return frozenset(
        one.value for one in ast.walk(node) if isinstance(one, ast.Constant) and isinstance(one.value, str)
    )
