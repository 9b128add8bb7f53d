"""``dutiful top``: its lines by themselves, printed once, and live on a real terminal."""

from __future__ import annotations

import os
import pty
import re
import select
import subprocess
import time
from typing import Any

import pytest

from dutiful.cli.top_screen import View, bars, screen
from dutiful.model.verdict import WATCHERS, Numbers, Queue, Thing, Watch, judge
from dutiful.operations import acks, alerts
from dutiful.operations.attention import Attention, Item
from dutiful.operations.glance import Glance, Rate, Running
from tests.cli.conftest import Shop

SECOND = 1_000_000
NOW = 1_800_000_000 * SECOND
MINUTE = 60 * SECOND


def glance(things: int = 2, **more: Any) -> Glance:
    found = [Thing(f"queue:{n}", "late", f"thing {n}", since_us=NOW - n * MINUTE) for n in range(things)]
    queues = [
        Queue("mail", 7, 372 * SECOND, 120 * SECOND, None, 1_204, NOW),
        Queue("billing", 3, SECOND, 5 * SECOND, None, 3, NOW),
        Queue("slow", 0, None, None, "ann", 0, NOW),
    ]
    watches = [Watch(name, SECOND, 0) for name in WATCHERS]
    verdict = judge(Numbers("shop", NOW, found, watches, queues=queues))
    attention = Attention(verdict, tuple(Item(one, "mail") for one in verdict.things), None)
    running = [Running("id-1", "mail", "send", NOW - 14 * SECOND, "w-2", 1)]
    depths = {"mail": [(NOW - (4 - n) * MINUTE, 2_000 - 200 * n) for n in range(5)]}
    return Glance(attention, running, depths, {"mail": Rate(450.0, 340 * SECOND), "billing": Rate(0.2, None)})


def text(found: Glance, view: View | None = None, width: int = 120, height: int = 40) -> list[str]:
    lines = screen(found, view or View(), width=width, height=height, utc=True)
    assert all(sum(len(part) for part, _ in line) <= width for line in lines) and len(lines) <= height
    return ["".join(part for part, _ in line) for line in lines]


def test_the_lines() -> None:
    lines = text(glance())
    assert lines[0] == "✗ Needs a person: 2 things."
    assert "late 2 ✗" in lines[1] and "shop" in lines[1] and "live" in lines[1]
    [mail] = [line for line in lines if line.startswith("mail")]
    # 450 a minute left it, and it got 200 a minute emptier: 250 came
    rates = ["250", "450", "6m", "5m", "40s"]
    assert mail.split() == ["mail", "1,204", "6m", "12s", "/", "2m", "1", *rates, "█▇▆▅▅", "✗", "late"]
    [billing] = [line for line in lines if line.startswith("billing")]
    assert billing.split() == ["billing", "3", "1s", "/", "5s", "0", "0.2", "0.2"]
    assert [line.split()[0] for line in lines[4:7]] == ["mail", "billing", "slow"]
    assert "PAUSED" in lines[6]
    assert any("send" in line and "14s" in line and "w-2" in line for line in lines)
    assert any(line.startswith("> LATE     thing 1  1m  mail") for line in lines)
    assert lines[-1].startswith("q quit")


def test_what_is_typed_sorts_filters_and_opens() -> None:
    found = glance()
    by_name = [line.split()[0] for line in text(found, View(sort="name"))[4:7]]
    assert by_name == ["billing", "mail", "slow"]
    assert not [line for line in text(found, View(filter="thing 1")) if "thing 0" in line]
    opened = text(found, View(opened=True, chosen=1))
    assert "thing   thing 0" in opened and "owner   mail" in opened
    assert text(found, View(typing="ab"))[-1] == "/ab"
    assert text(found, View(typing="ok", asks="note"))[-1] == "note: ok"
    assert View(chosen=1).moved(5, 2).chosen == 1 and View().moved(-1, 2).chosen == 0


@pytest.mark.parametrize(("width", "height"), [(20, 5), (80, 24), (1, 1)])
def test_it_fits_whatever_the_size(width: int, height: int) -> None:
    text(glance(50), width=width, height=height)
    text(glance(0), width=width, height=height)


def test_bars_are_of_the_last_looks() -> None:
    assert bars([(n, n) for n in range(20)]) == "▄▅▅▅▆▆▆▇▇█"
    assert (bars([]), bars([(1, 0), (2, 0)])) == ("", "▁▁")


def test_without_a_terminal_it_is_printed_once(shop: Shop) -> None:
    shop("migrate")
    shop.dead(2)
    done = shop("top")
    assert done.code == 0
    assert done.out.startswith("✗ Needs a person: 1 thing.") and "2 jobs dead" in done.out
    assert "default" in done.out and "\x1b" not in done.out
    assert shop("top", "--json").document["verdict"] == "person"


class Terminal:
    """The program on a terminal of its own; what it draws is read as text."""

    def __init__(self, shop: Shop, *args: str) -> None:
        self.main, side = pty.openpty()
        environ = shop.environ(TERM="xterm", COLUMNS="100", LINES="30")
        self.process = subprocess.Popen(
            shop.command("top", *args), cwd=shop.folder, env=environ, stdin=side, stdout=side, stderr=side
        )
        os.close(side)
        self.seen = ""

    def until(self, wanted: str, timeout_s: float = 60.0) -> str:
        """All that was drawn since the last key, once it has this in it."""
        deadline = time.monotonic() + timeout_s
        while wanted not in self.seen:
            assert time.monotonic() < deadline, self.seen[-3000:]
            if select.select([self.main], [], [], 0.1)[0]:
                try:
                    data = os.read(self.main, 65536).decode(errors="replace")
                except OSError:  # it has ended
                    data = ""
                    assert wanted in self.seen, self.seen[-3000:]
                self.seen += re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", data)
        return self.seen

    def press(self, keys: str) -> None:
        self.seen = ""
        os.write(self.main, keys.encode())

    def close(self) -> int:
        deadline = time.monotonic() + 30
        while self.process.poll() is None and time.monotonic() < deadline:
            if select.select([self.main], [], [], 0.05)[0]:
                try:
                    os.read(self.main, 65536)
                except OSError:
                    break
        os.close(self.main)
        return self.process.wait(30)


def test_live_on_a_terminal(small_shop: Shop) -> None:
    shop = small_shop
    shop("migrate")
    shop.dead(2)
    terminal = Terminal(shop, "--interval", "200ms")
    try:
        assert "2 jobs dead" in terminal.until("q quit")
        terminal.press("\r")
        assert "dutiful dead" in terminal.until("number  unseen")
        terminal.press("\r")
        terminal.until("UNSEEN")
        terminal.press("r")
        terminal.until("dutiful dead retry --fp")
        terminal.press("/zzz\r")
        terminal.until("Nothing with 'zzz'")
        terminal.press("/\x7f\x7f\x7f\r")
        terminal.until("UNSEEN")
        terminal.press("p")
        terminal.until("paused")
        terminal.press("p")
        terminal.until("live")
        terminal.press("alooked at it\r")
        terminal.until("acknowledged for a day")
        terminal.press("q")
    finally:
        code = terminal.close()
    assert code == 0
    [kept] = shop.app.engine.run(acks.listed("shop"))
    assert (kept.note, kept.count_then) == ("looked at it", 2)
    assert shop.app.engine.run(alerts.raised("shop")) == []


def test_rates_and_waits_are_read_from_what_is_rolled_up(shop: Shop) -> None:
    from dutiful.operations import glance as looks
    from dutiful.operations import metrics

    engine = shop.app.engine
    engine.migrate()
    now = [NOW]
    engine.clock = lambda: now[0]  # type: ignore[attr-defined]
    for number in range(6):
        shop.app.tasks["charge"].enqueue(number)
    now[0] += 30 * SECOND
    shop.run_all()
    now[0] += 2 * MINUTE
    while engine.run(metrics.roll()):
        pass
    rate = engine.run(looks.glance("shop")).rates["default"]
    minutes = (engine.clock() // MINUTE * MINUTE - (now[0] - 10 * MINUTE)) / MINUTE  # type: ignore[attr-defined]
    assert rate.out_per_min == pytest.approx(6 / minutes)
    assert rate.wait_p95_us is not None and abs(rate.wait_p95_us - 30 * SECOND) < 3 * SECOND
