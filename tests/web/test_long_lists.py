"""Lists of the machinery longer than a page: every row is met once, and what is wrong stands first."""

from __future__ import annotations

import html
import re

from dutiful.model.jobs import NewWorker
from dutiful.model.locks import LockAsk
from dutiful.operations import locks, workers
from tests.web.conftest import Page, Shop

FAR_US = 10**13


def walked(page: Page, path: str, row: str) -> list[list[str]]:
    """What a pattern finds on each page, by following the first link to more that ``path`` begins."""
    found: list[list[str]] = []
    while path:
        text = page.get(path).body.decode()
        found.append(re.findall(row, text))
        more = re.findall(r'href="([^"]+)" rel="next"', text)
        path = html.unescape(more[0]) if more else ""
        assert len(found) < 20
    return found


def test_workers_the_silent_ones_first(filled: Shop, page: Page) -> None:
    run = filled.app.engine.run
    for number in range(120):
        lease = 1 if number % 40 == 0 else FAR_US
        run(workers.register(NewWorker("shop", f"farm-{number}", number, lease, 1, "[]", "{}")))
    pages = walked(page, "/workers", r'<tr id="w-(\d+)">')
    seen = [int(one) for rows in pages for one in rows]
    assert len(seen) == len(set(seen)) >= 120
    assert [len(rows) for rows in pages[:-1]] == [50] * (len(pages) - 1)
    first = page.get("/workers").body.decode()
    assert first.count("✗ silent</span>") >= 3 and "3 silent" in first
    behind = html.unescape(re.findall(r'href="([^"]+)" rel="next"', first)[0])
    second = page.get(behind).body.decode()
    assert "✗ silent</span>" not in second and ">First</a>" in second


def test_locks_by_name(filled: Shop, page: Page) -> None:
    run = filled.app.engine.run
    for number in range(60):
        for who in ("holds", "waits"):
            ask = LockAsk("shop", f"lock-{number:02}", f"{number} {who}", 1, FAR_US, f"{who} {number}", True)
            run(locks.ask(ask))
    pages = walked(page, "/locks", r"<td>((?:holds|waits) \d+)")
    seen = [one for rows in pages for one in rows]
    assert sorted(seen) == sorted(f"{who} {number}" for number in range(60) for who in ("holds", "waits"))


def test_gates_at_which_jobs_stand(filled: Shop, page: Page) -> None:
    app = filled.app

    @app.task(name="shop.by_account", lock="account:{account}")
    def by_account(account: int) -> None: ...

    for account in range(60):
        by_account.enqueue(account)
    first = page.get("/locks").body.decode()
    behind = [html.unescape(one) for one in re.findall(r'href="([^"]+)" rel="next"', first) if "gate=" in one]
    rows = re.findall(r"account:(\d+)", first + page.get(behind[-1]).body.decode())
    assert sorted(map(int, rows)) == list(range(60))
