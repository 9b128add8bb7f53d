"""D7: ``dutiful web`` is killed with -9 in the middle of a bulk retry; started again, it goes on.

By hand, with more jobs: ``D7_JOBS=10000 pytest tests/web/test_kill.py``.
"""

from __future__ import annotations

import http.client
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlencode, urlsplit

import pytest

from dutiful.engines.contract import Engine
from dutiful.engines.urls import open_engine
from dutiful.operations import bulk, settle, verify
from tests.contract.stores import APP, claim, look, write
from tests.contract.world import ending
from tests.processes.bulk import dead

COUNT = int(os.environ.get("D7_JOBS", "500"))
DEADLINE_S = 120.0
ROOT = Path(__file__).parents[2]


@contextmanager
def served(url: str) -> Iterator[tuple[subprocess.Popen[str], str, str]]:
    """The real page as a process: itself, the host to ask, and the cookie of whoever went in."""
    words = [sys.executable, "-m", "dutiful", "web", "--store", url, "--bind", "127.0.0.1:0"]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True, env=os.environ, cwd=ROOT)
    try:
        assert process.stdout is not None
        place = urlsplit(process.stdout.readline().strip())
        status, headers, _ = asked(place.netloc, f"{place.path}?{place.query}")
        assert status == 303, status
        yield process, place.netloc, headers["set-cookie"].partition(";")[0]
    finally:
        process.kill()
        process.communicate()


def asked(
    host: str, path: str, form: dict[str, str] | None = None, cookie: str = ""
) -> tuple[int, dict[str, str], str]:
    connection = http.client.HTTPConnection(host, timeout=60)
    headers = {"cookie": cookie, "sec-fetch-site": "same-origin"}
    if form is not None:
        headers["content-type"] = "application/x-www-form-urlencoded"
    body = None if form is None else urlencode(form)
    connection.request("GET" if form is None else "POST", path, body, headers)
    answer = connection.getresponse()
    text = answer.read().decode()
    connection.close()
    return answer.status, {name.lower(): value for name, value in answer.getheaders()}, text


def fields(text: str) -> dict[str, str]:
    return dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)">', text))


def until(engine: Engine, bulk_id: str, many: int) -> bulk.Bulk:
    """The bulk operation once so many are done."""
    deadline = time.monotonic() + DEADLINE_S
    while (one := engine.run(bulk.show(APP, bulk_id))).done < many:
        assert time.monotonic() < deadline, one
        time.sleep(0.02)
    return one


def play(engine: Engine, url: str, count: int, pace: int) -> bulk.Bulk:
    """Begin it on the page, kill the page, start it again; returns the operation once it is over."""
    dead(engine, count)
    with served(url) as (process, host, cookie):
        _, _, text = asked(host, "/dead/retry?task=send", cookie=cookie)
        form = fields(text) | {"reason": "mended", "limit": "", "pace": str(pace)}
        status, headers, said = asked(host, "/dead/retry?task=send", form | {"typed": str(count)}, cookie)
        assert status == 303, said[-800:]
        bulk_id = re.findall(r"/bulk/([0-9a-f-]{36})", headers["location"])[0]
        until(engine, bulk_id, count // 10)
        process.send_signal(signal.SIGKILL)
        process.wait(10)
    cut = engine.run(bulk.show(APP, bulk_id))
    assert cut.state == "running" and 0 < cut.done < count, cut
    write(engine, "UPDATE dutiful.bulk SET walked_until = 0")  # whoever walked it held it for 15 s more
    with served(url):
        over = until(engine, bulk_id, count)
    return over


def once(engine: Engine, count: int) -> None:
    """Each job came back once: it is claimed once, and audited once."""
    ids: list[str] = []
    while leases := claim(engine, 100):
        ids += [one.job_id for one in leases]
        assert engine.run(settle.settle([ending(one, "complete") for one in leases], 1)) == []
    assert len(ids) == len(set(ids)) == count
    rows = look(engine, "SELECT count(*) FROM dutiful.audit WHERE verb = 'retry' GROUP BY subject")
    assert [int(row[0]) for row in rows] == [1] * count


@pytest.fixture(params=[pytest.param("sqlite"), pytest.param("postgres", marks=pytest.mark.postgres)])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A store of each engine."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'killed.db'}"
        return
    server, template = request.getfixturevalue("pg_server"), request.getfixturevalue("migrated_template")
    name = f"web_kill_{os.getpid()}"
    yield server.create_database(name, template=template)
    server.drop_database(name)


@pytest.mark.timeout(400)
def test_d7_killed_in_the_middle_of_a_bulk_retry_the_page_goes_on(url: str) -> None:
    engine = open_engine(url)
    engine.migrate()
    try:
        one = play(engine, url, COUNT, pace=max(200, COUNT // 8))
        assert (one.state, one.done, one.skipped, one.failed) == ("done", COUNT, 0, 0)
        assert one.intended == COUNT and engine.run(verify.check(APP, full=True)) == []
        once(engine, COUNT)
    finally:
        engine.close()
