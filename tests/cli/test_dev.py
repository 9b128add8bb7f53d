"""``dutiful dev`` as a real process: a worker that reloads and the page, which end together."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from http.cookiejar import CookieJar
from pathlib import Path

import pytest

from tests.cli.conftest import Shop

PATIENCE_S = 90.0

JOBS = """
import dutiful

app = dutiful.App("shop", "sqlite:///jobs.db")


@app.task(name="say")
def say(n: int) -> None:
    with open("said.txt", "a") as file:
        file.write(f"WORDS {n}\\n")
"""


@contextmanager
def dev(shop: Shop, *args: str) -> Iterator[tuple[subprocess.Popen[bytes], Path]]:
    """It runs in a session of its own, as below a terminal; nothing of it is left at the end."""
    said = shop.folder / "dev.log"
    with said.open("wb") as log:
        process = subprocess.Popen(
            shop.command("dev", "jobs:app", "--bind", "127.0.0.1:0", *args),
            cwd=shop.folder,
            env=shop.environ(),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        yield process, said
    finally:
        if group_lives(process.pid):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def group_lives(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def until(done: object, what: str, said: Path) -> None:
    end = time.monotonic() + PATIENCE_S
    while not done():  # type: ignore[operator]
        assert time.monotonic() < end, f"{what}: {said.read_text()}"
        time.sleep(0.1)


def address(said: Path) -> str:
    until(lambda: re.search(r"^http://\S+$", said.read_text(), re.M), "no address", said)
    found = re.search(r"^http://\S+$", said.read_text(), re.M)
    assert found is not None
    return found[0]


def reads(shop: Shop) -> str:
    path = shop.folder / "said.txt"
    return path.read_text() if path.exists() else ""


def enqueue(shop: Shop, number: int) -> None:
    assert shop.really("enqueue", "say", f"n={number}", "--app", "jobs:app").code == 0


def test_the_worker_reloads_the_page_answers_and_ctrl_c_ends_both(small_shop: Shop) -> None:
    shop = small_shop
    code = shop.folder / "jobs.py"
    code.write_text(JOBS.replace("WORDS", "one"))
    enqueue(shop, 1)
    with dev(shop) as (process, said):
        opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(CookieJar()))
        with opener.open(address(said), timeout=PATIENCE_S) as answer:
            home = answer.read().decode()
        assert answer.status == 200 and "shop" in home and "development" in home
        with pytest.raises(urllib.error.HTTPError) as refused:  # closed to whoever has not that address
            urllib.request.urlopen(answer.url, timeout=PATIENCE_S)
        assert refused.value.code in (401, 403)
        until(lambda: "one 1" in reads(shop), "the worker did not run it", said)
        code.write_text(JOBS.replace("WORDS", "other"))
        os.utime(code, ns=(time.time_ns(), time.time_ns()))
        until(lambda: "code_changed" in said.read_text(), "no reload", said)
        enqueue(shop, 2)
        until(lambda: "other 2" in reads(shop), "the new code did not run", said)
        os.killpg(process.pid, signal.SIGINT)
        assert process.wait(PATIENCE_S) == 0
        assert not group_lives(process.pid), said.read_text()
        assert "Traceback" not in said.read_text()


def test_both_end_with_a_dev_that_was_killed(small_shop: Shop) -> None:
    shop = small_shop
    (shop.folder / "jobs.py").write_text(JOBS)
    with dev(shop) as (process, said):
        address(said)
        process.kill()
        process.wait()
        until(lambda: not group_lives(process.pid), "something of it is left", said)


def test_what_is_wrong_is_said_before_anything_starts(small_shop: Shop) -> None:
    (small_shop.folder / "jobs.py").write_text(JOBS)
    for args, code, says in [
        (["--app", "nowhere:app"], 4, "DE105"),
        (["jobs:app", "--bind", "0.0.0.0:0"], 2, "for this machine alone"),
        (["jobs:app", "--bind", "127.0.0.1:x"], 5, "DE900"),
        (["--store", "sqlite:///jobs.db"], 2, "needs the app's code"),
    ]:
        answer = small_shop.bare("dev", *args)
        assert answer.code == code and says in answer.err, (args, answer)
