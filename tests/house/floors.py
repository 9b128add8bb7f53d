"""Reads which module imports which, and reports what breaks the plan of the house.

A module imports from its own floor or below; rooms on the top floor do not know each other; modules
never import each other in a circle. Only the text is read, nothing is run.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

PACKAGE = "dutiful"

# From the ground up. Rooms that share a floor below the top may know each other.
FLOORS: tuple[tuple[str, ...], ...] = (
    ("model",),
    ("sql", "operations"),
    ("engines",),
    ("app",),
    ("worker",),
    ("supervise", "proof", "demo", "check"),
    ("web",),
    ("drill",),
    ("cli", "bridges", "integrations", "effects", "testing", "sources"),
)
TOP = len(FLOORS) - 1
FLOOR_OF = {room: number for number, rooms in enumerate(FLOORS) for room in rooms}
PLAN = " < ".join(", ".join(rooms) for rooms in FLOORS)

# The front doors: they give out the public names, or start the command line.
DOORS = (PACKAGE, f"{PACKAGE}.__main__")


@dataclass(frozen=True)
class Import:
    """One module names another, at a line."""

    file: Path
    line: int
    importer: str
    imported: str
    at_once: bool  # done when the importer is loaded: not inside a function, not for type checkers only


@dataclass(frozen=True)
class House:
    """All modules of a source tree and the imports between them."""

    modules: dict[str, Path]
    imports: tuple[Import, ...]


def read(source: Path) -> House:
    """Reads the package below a `src` folder."""
    modules = {_module_name(source, path): path for path in sorted((source / PACKAGE).rglob("*.py"))}
    imports = [found for name, path in modules.items() for found in _imports_of(name, path, modules)]
    return House(modules, tuple(imports))


def violations(house: House) -> list[str]:
    """What is wrong, one line each, beginning with the file and the line number."""
    return [*_homeless(house), *_upward(house), *_circles(house)]


def _homeless(house: House) -> Iterator[str]:
    for name, path in house.modules.items():
        if name not in DOORS and _room(name) not in FLOOR_OF:
            yield f"{path}:1: {name} stands on no floor: {PLAN}"


def _upward(house: House) -> Iterator[str]:
    for found in house.imports:
        here, there = _room(found.importer), _room(found.imported)
        if found.importer in DOORS or here == there or here not in FLOOR_OF:
            continue
        where = f"{found.file}:{found.line}: {found.importer} imports {found.imported}"
        if found.imported in DOORS:
            if FLOOR_OF[here] < TOP:
                yield f"{where}, the public face, which knows all floors"
        elif there not in FLOOR_OF:
            continue  # reported once, as homeless
        elif FLOOR_OF[there] > FLOOR_OF[here]:
            yield f"{where}, a floor above its own: {PLAN}"
        elif FLOOR_OF[here] == FLOOR_OF[there] == TOP:
            yield f"{where}: rooms on the top floor do not know each other"


def _circles(house: House) -> Iterator[str]:
    """Each group of modules that reach each other, once, by one circle through it."""
    edges: dict[str, dict[str, Import]] = {name: {} for name in house.modules}
    for found in house.imports:
        if found.at_once and found.imported != found.importer:
            edges[found.importer].setdefault(found.imported, found)
    done: set[str] = set()
    for name in house.modules:
        circle = None if name in done else _way_back(name, edges)
        if circle:
            done.update(step.importer for step in circle)
            path = " -> ".join([*(step.importer for step in circle), name])
            first = circle[0]
            yield f"{first.file}:{first.line}: imports in a circle: {path}"


def _way_back(start: str, edges: dict[str, dict[str, Import]]) -> list[Import]:
    """A shortest chain of imports from a module to itself; empty if there is none."""
    came_by: dict[str, Import] = {}
    todo = [start]
    for name in todo:
        for imported, found in edges[name].items():
            if imported not in came_by:
                came_by[imported] = found
                todo.append(imported)
    if start not in came_by:
        return []
    chain = [came_by[start]]
    while chain[0].importer != start:
        chain.insert(0, came_by[chain[0].importer])
    return chain


def _imports_of(name: str, path: Path, modules: dict[str, Path]) -> Iterator[Import]:
    """Every import of one of our modules, however it is written."""
    for node, at_once in _statements(ast.parse(path.read_text(), str(path)), at_once=True):
        for target in _targets(node, name, path):
            imported = target if target in modules else target.rpartition(".")[0]
            if imported in modules:
                yield Import(path, getattr(node, "lineno", 1), name, imported, at_once)


def _statements(node: ast.AST, *, at_once: bool) -> Iterator[tuple[ast.AST, bool]]:
    """All nodes, each with whether it is carried out as the module is loaded."""
    for child in ast.iter_child_nodes(node):
        yield child, at_once
        later = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
            later = True
        yield from _statements(child, at_once=at_once and not later)


def _targets(node: ast.AST, importer: str, path: Path) -> Iterator[str]:
    """The dotted names that a statement may import: `from a import b` names `a.b`, be b a module or not."""
    match node:
        case ast.Import(names=names):
            yield from (alias.name for alias in names)
        case ast.ImportFrom(module=module, names=names, level=level):
            start = _relative(importer, path, level) if level else ""
            parent = ".".join(part for part in (start, module or "") if part)
            yield from (f"{parent}.{alias.name}" for alias in names)
        case ast.Call(
            func=ast.Name(id="import_module" | "__import__"), args=[ast.Constant(value=str(text)), *_]
        ):
            yield text
        case ast.Call(func=ast.Attribute(attr="import_module"), args=[ast.Constant(value=str(text)), *_]):
            yield text


def _relative(importer: str, path: Path, level: int) -> str:
    parts = importer.split(".")
    parents = level - 1 if path.name == "__init__.py" else level
    return ".".join(parts[: len(parts) - parents])


def _module_name(source: Path, path: Path) -> str:
    parts = path.relative_to(source).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _room(module: str) -> str:
    """The part of the name after the package's: `dutiful.model.jobs` is in the room `model`."""
    return module.split(".")[1] if "." in module else ""
