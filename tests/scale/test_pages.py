"""D1: every page over many dead reads no big table from end to end, and its HTML is not large.

A million, and how long it takes, is ``python -m tests.scale.pages``.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import pytest

from dutiful.sql import EngineName
from tests.contract.planting import planted
from tests.contract.world import Eye
from tests.scale.pages import HTML_KB, Page, addresses, keep_books
from tests.scale.plans import Recorder, scans
from tests.scale.seeding import SMALL, Seeding, Size, app_of

SIZES: dict[EngineName, Size] = {"postgres": SMALL, "sqlite": replace(SMALL, dead=20_000)}


@dataclass
class Full:
    """A filled store and its page."""

    app: Any
    eye: Eye
    page: Page
    size: Size

    def looks(self, *only: str) -> list[str]:
        """Ask for every page, or these; what is wrong with each."""
        wrong = []
        for what, address in addresses(self.app, self.size):
            if only and what not in only:
                continue
            recorder = Recorder(self.page.site.reader)
            self.page.site.reader = recorder
            got = self.page.get(address)
            self.page.site.reader = recorder._reader
            assert got.status == 200, (what, got.status)
            if len(got.body) > HTML_KB * 1024:
                wrong.append(f"{what}: {len(got.body):,} bytes")
            now = time.time_ns() // 1_000
            for name, given in recorder.asked.items():
                for table in scans(self.eye, name, given, now):
                    wrong.append(f"{name} reads all of {table}: {what}")
        return sorted(set(wrong))


@pytest.fixture
def full(engine: EngineName, request: pytest.FixtureRequest) -> Iterator[Full]:
    app = app_of(request.getfixturevalue(f"{engine}_url"))
    app.engine.migrate()
    eye, size = Eye(app.engine), SIZES[engine]
    seeding = Seeding(app.engine, eye, size)
    seeding.dead()
    keep_books(app.engine.run)
    seeding.others()
    keep_books(app.engine.run)
    seeding.settled()
    yield Full(app, eye, Page(app, limit_s=120.0), size)
    eye.close()
    app.close()


BUG = {
    "list_dead": [
        ("ORDER BY d.died_at DESC", "ORDER BY d.died_at + 0 DESC"),
        (r"\(d.died_at, d.id\)", "(d.died_at + 0, d.id)"),
    ]
}


@pytest.mark.parametrize("engine", ["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def test_D1_no_page_reads_a_big_table_in_full_or_is_large(full: Full) -> None:
    assert full.looks() == []
    with planted(full.eye.engine.name, BUG):
        assert "list_dead reads all of dead: dead jobs, deep" in full.looks("dead jobs, deep")
