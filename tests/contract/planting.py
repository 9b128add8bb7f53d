"""Bugs put into our SQL on purpose, to see that a check notices them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from msgspec.structs import replace

from dutiful.sql import EngineName, statements
from dutiful.sql.render import render

Change = tuple[str, str]
"""A pattern and what stands in its place; it must be found."""

PLANTED: list[str] = []
"""All statements that were broken so far: what was done meanwhile may look as it likes."""


@contextmanager
def planted(engine: EngineName, changes: Mapping[str, list[Change]]) -> Iterator[None]:
    """Within, these statements of one engine read otherwise."""
    loaded = statements(engine)
    whole = {name: loaded[name] for name in changes}
    PLANTED.extend(changes)
    try:
        for name, edits in changes.items():
            text = loaded[name].text
            for pattern, instead in edits:
                text, count = re.subn(pattern, instead, text, flags=re.DOTALL)
                assert count, f"{name} on {engine}: {pattern!r} is not there any more"
            loaded[name] = replace(loaded[name], text=text)
        render.cache_clear()
        yield
    finally:
        loaded.update(whole)
        render.cache_clear()
