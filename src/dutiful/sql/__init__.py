"""Named statements, read from the ``.sql`` files beside this module.

A file holds statements, each under ``-- name: settle_job`` and a comment that says its purpose and
the invariant it guards. ``common/`` is for every engine; an engine's own folder overrides a
statement under the same name. Tables are written ``dutiful.job``: on PostgreSQL that is a table in
the schema ``dutiful``, on SQLite it becomes ``main.dutiful_job``. Parameters are ``:named``;
``:now`` is filled in by the engine. On SQLite one name may hold several statements, run in turn with
the same parameters, of which the last gives the rows.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import cache
from importlib.resources import files
from typing import Literal

from msgspec import Struct

EngineName = Literal["sqlite", "postgres"]

_NAME = re.compile(r"^-- name: (\w+)\s*$", re.MULTILINE)
_TABLE = re.compile(r"\bdutiful\.(\w+)")
# A parameter, but neither a ::cast nor anything inside a quoted string or a comment.
_TOKEN = re.compile(r"('(?:[^']|'')*')|(--[^\n]*)|(::\w+)|:([a-z_][a-z0-9_]*)")


class Statement(Struct, frozen=True):
    """One named text as its file has it, without its comment; ``file`` is for error messages."""

    name: str
    text: str
    purpose: str
    file: str

    @property
    def parts(self) -> tuple[str, ...]:
        """The single statements of the text, in order."""
        return tuple(part.strip() for part in re.split(r";\s*(?:\n|$)", self.text) if part.strip())


def pieces(text: str) -> Iterator[tuple[str, str | None]]:
    """Cut a text into (literal text, name of the parameter that follows it or None)."""
    at = 0
    for found in _TOKEN.finditer(text):
        if found.group(4):
            yield text[at : found.start()], found.group(4)
            at = found.end()
    yield text[at:], None


def read(text: str, file: str) -> Iterator[Statement]:
    """The statements in the text of one file."""
    marks = list(_NAME.finditer(text))
    for mark, following in zip(marks, [*marks[1:], None], strict=True):
        body = text[mark.end() : following.start() if following else len(text)].strip("\n")
        purpose: list[str] = []
        code: list[str] = []
        for line in body.splitlines():
            if not code and line.startswith("--"):
                purpose.append(line[2:].strip())
            elif line.strip():
                code.append(line)
        yield Statement(mark.group(1), "\n".join(code).rstrip("; \n"), " ".join(purpose), file)


@cache
def statements(engine: EngineName) -> dict[str, Statement]:
    """All statements of an engine by name: common ones, then its own, which win."""
    found: dict[str, Statement] = {}
    for folder in ("common", engine):
        seen: set[str] = set()
        for path in sorted(files(__name__).joinpath(folder).iterdir(), key=lambda path: path.name):
            if not path.name.endswith(".sql") or path.name == "schema.sql":
                continue
            for statement in read(path.read_text("utf-8"), f"{folder}/{path.name}"):
                if statement.name in seen:
                    raise ValueError(f"{statement.file}: {statement.name} is there twice")
                seen.add(statement.name)
                text = statement.text if engine == "postgres" else sqlite_names(statement.text)
                found[statement.name] = Statement(statement.name, text, statement.purpose, statement.file)
    return found


def sqlite_names(text: str) -> str:
    """``dutiful.job`` as SQLite has it."""
    return _TABLE.sub(r"main.dutiful_\1", text)


class Migration(Struct, frozen=True):
    """One numbered step of the schema, as text."""

    number: int
    title: str
    text: str


@cache
def migrations(engine: EngineName) -> Sequence[Migration]:
    """The migrations of an engine, lowest number first: ``0001_start.sql``."""
    found = []
    for path in files(__name__).joinpath(engine, "migrations").iterdir():
        match = re.fullmatch(r"(\d{4})_(\w+)\.sql", path.name)
        if match:
            title = match.group(2).replace("_", " ")
            found.append(Migration(int(match.group(1)), title, path.read_text("utf-8")))
    found.sort(key=lambda migration: migration.number)
    assert [m.number for m in found] == list(range(1, len(found) + 1)), "migrations have gaps"
    return tuple(found)


def schema(engine: EngineName) -> str:
    """The whole schema of an engine as it is after all migrations, for people to read."""
    return files(__name__).joinpath(engine, "schema.sql").read_text("utf-8")
