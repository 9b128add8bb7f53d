"""Every page of the web application over a million dead: how long the server takes, how large its HTML is.

    python -m tests.scale.pages [--dead N] [--groups N] [--times N] [--url URL [--seeded]]

Without a URL on both engines, on stores of its own. Asked in process, with no network and no browser; the
verdict, which a process keeps for three seconds, is looked for anew by each request. In ms: the median,
95 of 100, and the CPU that this process and the server used for one: a machine that others use, too, has its
moods.
"""

from __future__ import annotations

import argparse
import gc
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import dutiful
from devtools.servers import PostgresServer
from dutiful.engines.reading import LIMIT_S
from dutiful.model.operators import Operator
from dutiful.operations import books, bulk, groups, inspect
from dutiful.web.cursors import of_death, of_group
from dutiful.web.inline import WHO, Got, call
from dutiful.web.pages import build
from dutiful.web.routes import SCREENS
from dutiful.web.site import Site
from tests.contract.world import Eye
from tests.scale.dead import Meter, fold
from tests.scale.seeding import APP, Seeding, Size, app_of

TIMES = 20
HTML_KB, P95_MS = 120, 100
ANN = Operator("ann", "Ann", "admin", how="web")


class Page:
    """The page, asked as somebody who may see all of it."""

    def __init__(self, app: dutiful.App, limit_s: float = LIMIT_S) -> None:
        self.site = Site(app, authorize=lambda request: None, limit_s=limit_s)
        self._asgi = build(self.site)

    def get(self, address: str) -> Got:
        """The answer; nothing of an earlier one is used for it."""
        path, _, query = address.partition("?")
        self.site._verdict = None
        return call(
            self._asgi, method="GET", root="", path=path, query=query.encode(), body=b"", scheme="http",
            headers=[("host", "page.example")], client="10.0.0.7", extra={WHO: ANN},
        )  # fmt: skip

    def close(self) -> None:
        """Close its connections."""
        self.site.close()


def keep_books(run: Any) -> None:
    """What the bookkeeper does beside."""
    while run(groups.fold()) or run(books.fold()):
        pass
    run(books.keep(run(books.count())))


def addresses(app: dutiful.App, size: Size) -> Iterator[tuple[str, str]]:
    """What is asked for: what it is, and where."""
    run: Any = app.engine.run
    causes = run(groups.groups(APP))
    first = run(inspect.dead(APP, limit=1))[0]
    step = 10 * 86_400_000_000 // size.dead
    deep = of_death(first.ended_at_us - size.dead // 2 * step, first.id)
    one = run(bulk.listed(APP, limit=1))[0]
    yield "home", "/"
    yield "attention", "/attention"
    yield "tasks and their runs", "/tasks?runs=1"
    yield "a task", "/tasks/task7"
    for span in ("1h", "6h", "24h", "7d", "30d"):
        yield f"metrics, {span}", f"/charts?range={span}"
    yield "metrics, 6h of a task", "/charts?range=6h&task=task7"
    yield "dead: causes", "/dead"
    middle = causes[len(causes) // 2]
    yield "dead: causes, deep", f"/dead?after={of_group(middle.last_at_us, middle.fingerprint)}"
    yield "dead: causes nobody has seen", "/dead?unseen=1"
    yield "dead: causes of a task", "/dead?task=task7"
    yield "dead of a cause", "/dead?fp=cause7"
    yield "dead of a cause, deep", f"/dead?fp=cause7&after={deep}"
    yield "dead jobs", "/dead/jobs"
    yield "dead jobs, deep", f"/dead/jobs?after={deep}"
    yield "dead jobs of a task", "/dead/jobs?task=task7"
    yield "dead jobs of a task, deep", f"/dead/jobs?task=task7&after={deep}"
    yield "dead jobs of a queue, deep", f"/dead/jobs?queue=queue1&after={deep}"
    yield "dead jobs nobody has seen", "/dead/jobs?unseen=1"
    yield "dead jobs nobody has seen, deep", f"/dead/jobs?unseen=1&after={deep}"
    yield "dead jobs by cause, unseen, deep", f"/dead/jobs?unseen=1&fp=cause77&after={deep}"
    yield "dead jobs by error, deep", f"/dead/jobs?error=smtp&after={deep}"
    yield "jobs", "/jobs"
    yield "jobs, deep", f"/jobs?after={_middle_id(first.id)}"
    for state in ("ready", "in_doubt", "done", "dead"):
        yield f"jobs, {state}", f"/jobs?state={state}"
    yield "jobs of a task", "/jobs?task=task7"
    yield "jobs of a queue", "/jobs?queue=queue1"
    yield "a dead job", f"/jobs/{first.id}"
    for state in ("ready", "done", "in_doubt"):
        yield f"a job, {state}", f"/jobs/{run(inspect.jobs(APP, state=state, limit=1))[0].id}"
    yield "a queue", "/queues/queue1"
    yield "a schedule", "/schedule/report1"
    yield "audit, deep", f"/audit?before={size.audit // 2}"
    yield "audit by actor", "/audit?actor=ann"
    yield "audit of a subject", "/audit?subject=job17"
    yield "a bulk operation", f"/bulk/{one.id}"
    yield "verdict.json", "/verdict.json"
    yield "pulse", "/pulse"
    for screen in SCREENS:  # also those that came later
        if "{" not in screen.path and screen.path not in ("/", "/attention", "/charts", "/dead", "/jobs"):
            yield screen.title.lower(), screen.path


def _middle_id(job_id: str) -> str:
    """An id made some days before that one."""
    ms = int(job_id.replace("-", "")[:12], 16) - 5 * 86_400_000
    text = f"{ms:012x}"
    return f"{text[:8]}-{text[8:]}{job_id[13:]}"


def look(app: dutiful.App, size: Size, times: int) -> None:
    """Ask for each, so many times; those that miss a target are marked."""
    page, meter = Page(app), Meter(app.url)
    gc.collect()
    gc.freeze()  # as `dutiful web` does
    for what, address in addresses(app, size):
        got = page.get(address)
        p50, p95, _, cpu = meter.of(partial(page.get, address), times)
        kb = len(got.body) / 1024
        misses = [f"status {got.status}"] if got.status != 200 else []
        misses += ["slow"] if p95 >= P95_MS else []
        misses += ["large"] if kb > HTML_KB else []
        print(f"  {what:34} {p50:7.1f} {p95:7.1f} {cpu:7.1f} {kb:7.1f} KB  {', '.join(misses)}", flush=True)
    page.close()


def measure(url: str, size: Size, times: int, *, seeded: bool) -> None:
    """One engine."""
    app = app_of(url)
    app.engine.migrate()
    eye = Eye(app.engine)
    if not seeded:
        began = time.perf_counter()
        seeding = Seeding(app.engine, eye, size)
        seeding.dead()
        fold(app.engine, size.dead)
        seeding.others()
        keep_books(app.engine.run)
        seeding.settled()
        print(f"  seeded in {time.perf_counter() - began:.0f} s", flush=True)
    head = f"{app.engine.name}: {size.dead:,} dead in {size.groups} groups"
    print(f"{head}; ms: median, 95 of 100, CPU", flush=True)
    look(app, size, times)
    eye.close()
    app.close()


def main() -> None:
    """Both engines, or that of the URL."""
    made = argparse.ArgumentParser(prog="python -m tests.scale.pages", description=__doc__)
    made.add_argument("--dead", type=int, default=Size.dead)
    made.add_argument("--groups", type=int, default=Size.groups)
    made.add_argument("--times", type=int, default=TIMES)
    made.add_argument("--url")
    made.add_argument("--seeded", action="store_true", help="the URL's store was filled by an earlier run")
    asked = made.parse_args()
    size = replace(Size(), dead=asked.dead, groups=asked.groups)
    if asked.url:
        measure(asked.url, size, asked.times, seeded=asked.seeded)
        return
    with tempfile.TemporaryDirectory() as folder:
        measure(f"sqlite:///{Path(folder) / 'jobs.db'}", size, asked.times, seeded=False)
    with PostgresServer() as server:
        measure(server.create_database("pages"), size, asked.times, seeded=False)


if __name__ == "__main__":
    main()
