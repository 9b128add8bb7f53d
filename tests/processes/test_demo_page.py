"""The demonstration's page: its Retry brings the dead order back, and without the page it goes on."""

from __future__ import annotations

import http.cookiejar
import json
import os
import re
import subprocess
import sys
import urllib.parse
import urllib.request
from pathlib import Path

import pytest

from dutiful.demo.orders import SHIPPED
from tests.processes.support.workers import until
from tests.processes.test_demo import folder

__all__ = ["folder"]

pytestmark = pytest.mark.timeout(400)
PATIENCE_S = 200.0
ORDERS, KILLS = 33, 3
PATIENT = """
import dataclasses, pathlib, sys
from dutiful import demo
from dutiful.demo import crew, direct
crew.SIZE = 2
direct.FAST = dataclasses.replace(direct.FAST, poison_s=100.0, visitor_s=200.0, limit_s=400.0)
orders, kills = pathlib.Path(sys.argv[1]), int(sys.argv[2])
sys.exit(demo.run(demo.DemoOptions(fast=True, seed=4, kills=kills, orders=orders, keep=True, opens=False)))
"""
"""With fewer workers, and the dead order is left for long enough, however busy the machine is."""


class Visitor:
    """A browser of somebody who looks at the demonstration."""

    def __init__(self) -> None:
        jar = urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar())
        self._opener = urllib.request.build_opener(jar)
        self._opener.addheaders = [("Sec-Fetch-Site", "same-origin")]

    def get(self, address: str) -> str:
        with self._opener.open(address, timeout=PATIENCE_S) as answer:
            return str(answer.read().decode())

    def press(self, address: str) -> str:
        """Open a dialog and send its form as it stands."""
        fields = re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)">', self.get(address))
        form = {name: value.replace("&amp;", "&") for name, value in fields} | {"reason": "as the demo said"}
        with self._opener.open(address, urllib.parse.urlencode(form).encode(), PATIENCE_S) as answer:
            return str(answer.read().decode())


def test_c2_a_visitor_retries_the_dead_order_on_the_page(folder: Path, tmp_path: Path) -> None:
    story, orders = tmp_path / "story", tmp_path / "orders.csv"
    orders.write_text("\n".join(SHIPPED.read_text().splitlines()[: ORDERS + 1]))
    command = [sys.executable, "-c", PATIENT, str(orders), str(KILLS)]
    visitor = Visitor()
    with story.open("wb") as output:
        demo = subprocess.Popen(
            command, env=os.environ | {"TMPDIR": str(folder)}, stdout=output, stderr=output
        )
    try:

        def told(pattern: str) -> re.Match[str] | None:
            assert demo.poll() is None, story.read_text()
            return re.search(pattern, story.read_text())

        until(lambda: told(r"http://\S+token=\S+"), "no address was told", PATIENCE_S)
        address = told(r"http://\S+token=\S+")
        assert address is not None
        assert "demo" in visitor.get(address[0])
        until(lambda: told(r"press Retry on (\S+), or wait"), "nobody was invited", PATIENCE_S)
        job = told(r"press Retry on (\S+), or wait")
        assert job is not None
        assert "dead" in visitor.get(job[1])
        visitor.press(f"{job[1]}/retry")
        assert demo.wait(PATIENCE_S) == 0, story.read_text()
    finally:
        demo.kill()
        demo.wait()
    said = story.read_text()
    assert "retried by somebody else, on the page" in said and "dutiful dead retry" not in said
    well = r"dutiful verdict, of lane C: .+\n  lost 0 \S   doubled 0 \S   late 0 \S   unseen 0"
    assert re.search(well, said), said[said.index("dutiful verdict, of lane C") :]
    [kept] = folder.iterdir()
    done = subprocess.run(
        [sys.executable, "-m", "dutiful", "audit", "list", "--json", "--store", f"sqlite:///{kept}/jobs.db"],
        capture_output=True,
        text=True,
        check=True,
    )
    verbs = {(row["verb"], row["how"], row["reason"]) for row in json.loads(done.stdout)["rows"]}
    assert ("retry", "token", "as the demo said") in verbs


def test_without_the_extra_it_goes_on_and_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    from dutiful.demo import page

    assert page.Page.missing() == ""
    monkeypatch.setattr(page, "find_spec", lambda name: None if name == "starlette" else object())
    assert page.Page.missing() == "starlette"
