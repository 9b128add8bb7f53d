"""The real program: pipes that close, terminals, nobody at stdin, Ctrl-C, and how long help takes."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable

import pytest

from tests.cli.conftest import Shop
from tests.cli.test_completion import loaded
from tests.contract.stores import opened, write

DEADLINE_S = 60.0


def many(shop: Shop, count: int) -> None:
    """So many ready jobs."""
    app = shop.app
    app.enqueue_many(app.find_task("mail"), [(f"somebody-{n}@example.org",) for n in range(count)])
    app.close()


class Terminal:
    """A call of the program on a terminal of its own."""

    def __init__(self, shop: Shop, *args: str, columns: int = 120, **env: str) -> None:
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.chdir(shop.folder)
            environment = shop.environ(TERM="xterm-256color", COLUMNS=str(columns), **env)
            os.execve(sys.executable, shop.command(*args), environment)
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
        self.seen = ""

    def until(self, done: Callable[[str], object], patience_s: float = DEADLINE_S) -> str:
        """All that was printed, once it is as wanted, or the program has ended."""
        until = time.monotonic() + patience_s
        while not done(self.seen) and time.monotonic() < until:
            ready, _, _ = select.select([self.fd], [], [], 0.1)
            if ready:
                try:
                    data = os.read(self.fd, 65_536)
                except OSError:  # the other side is closed
                    break
                if not data:
                    break
                self.seen += data.decode()
        return self.seen

    def type(self, text: str) -> None:
        os.write(self.fd, text.encode())

    def end(self) -> tuple[int, str]:
        """The exit code, and all that was printed."""
        self.until(lambda seen: False)
        _, status = os.waitpid(self.pid, 0)
        os.close(self.fd)
        return os.waitstatus_to_exitcode(status), self.seen


# ── not on a terminal ───────────────────────────────────────────────────────────────────────


def test_a_pipe_that_closes_is_no_news(small_shop: Shop) -> None:
    many(small_shop, 3000)
    reading, writing = os.pipe()
    child = subprocess.Popen(
        small_shop.command("job", "list", "--limit", "3000"),
        cwd=small_shop.folder,
        env=small_shop.environ(),
        stdout=writing,
        stderr=subprocess.PIPE,
    )
    os.close(writing)
    assert os.read(reading, 100).startswith(b"ID")
    os.close(reading)
    _, err = child.communicate(timeout=DEADLINE_S)
    assert err == b""
    assert child.returncode == -signal.SIGPIPE  # what a shell shows as 141, as for cat


def test_a_reader_that_never_was(small_shop: Shop) -> None:
    small_shop("migrate")
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        small_shop.command("explain"),
        cwd=small_shop.folder,
        env=small_shop.environ(),
        stdout=writing,
        stderr=subprocess.PIPE,
        timeout=DEADLINE_S,
    )
    os.close(writing)
    assert done.returncode == -signal.SIGPIPE and b"Traceback" not in done.stderr


def test_in_a_pipe_all_is_plain_and_nothing_is_cut(small_shop: Shop) -> None:
    id = small_shop.enqueue("mail", "to=" + "x" * 190)
    done = small_shop.really("job", "list")
    assert done.code == 0 and "\x1b" not in done.out and "…" not in done.out
    assert id in done.out and "x" * 180 in done.out


def test_columns_are_honoured_in_a_pipe_too(small_shop: Shop) -> None:
    small_shop.enqueue("mail", "to=" + "x" * 190)
    done = small_shop.really("job", "list", COLUMNS="100")
    assert max(len(line) for line in done.out.splitlines()) <= 100


def test_nobody_at_stdin_is_never_asked(small_shop: Shop) -> None:
    small_shop.dead(2)
    done = small_shop.really("dead", "retry", "--task", "mail", timeout=DEADLINE_S)
    assert done.code == 5 and "--yes" in done.err


def test_a_stream_that_lacks_a_sign_gets_it_spelt_out(small_shop: Shop) -> None:
    small_shop("migrate")
    done = small_shop.really("doctor", PYTHONIOENCODING="latin-1")
    assert done.code == 0 and "\\u2713 All is well" in done.out


def test_the_program_works_on_each_store(shop: Shop) -> None:
    done = shop.really("enqueue", "charge", "order_id=1", "--json")
    id = done.document["id"]
    assert shop.really("job", "why", id).out.startswith("waiting for ")
    assert shop.really("job", "show", "0198f3c1-0000-7000-8000-000000000000").code == 1
    assert shop.really("verify").code == 0


# ── on a terminal ───────────────────────────────────────────────────────────────────────────


def test_a_terminal_gets_a_table_within_its_width(small_shop: Shop) -> None:
    id = small_shop.enqueue("mail", "to=" + "x" * 190)
    code, seen = Terminal(small_shop, "job", "list", columns=90).end()
    lines = re.sub(r"\x1b\[[0-9;]*m", "", seen).splitlines()
    assert code == 0 and "\x1b[1m" in seen
    assert id in lines[1] and max(len(line.rstrip()) for line in lines) <= 90


def test_no_color_is_honoured(small_shop: Shop) -> None:
    small_shop.dead(1)
    code, seen = Terminal(small_shop, "dead", "list", NO_COLOR="1").end()
    assert code == 0 and not re.search(r"\x1b\[(?:[0-9]+;)*3[0-7]m", seen)
    code, seen = Terminal(small_shop, "job", "show", "42", NO_COLOR="1").end()
    assert code == 2 and "\x1b" not in seen


def test_plain_is_plain_on_a_terminal_too(small_shop: Shop) -> None:
    small_shop.dead(1)
    code, seen = Terminal(small_shop, "dead", "list", "--plain").end()
    assert code == 0 and "\x1b" not in seen


@pytest.mark.parametrize(("typed", "code", "left"), [("y\n", 0, 0), ("n\n", 5, 2)])
def test_a_person_is_asked(small_shop: Shop, typed: str, code: int, left: int) -> None:
    small_shop.dead(2)
    terminal = Terminal(small_shop, "dead", "retry", "--task", "mail")
    terminal.until(lambda seen: "[y/N]" in seen)
    assert "Retry 2 dead jobs of mail? [y/N]" in terminal.seen
    terminal.type(typed)
    assert terminal.end()[0] == code
    assert len(small_shop("dead", "list", "--json").document["jobs"]) == left


def test_ctrl_c_at_a_question_is_no(small_shop: Shop) -> None:
    small_shop.dead(2)
    terminal = Terminal(small_shop, "dead", "retry", "--task", "mail")
    terminal.until(lambda seen: "[y/N]" in seen)
    until = time.monotonic() + DEADLINE_S
    while "Interrupted." not in terminal.seen and time.monotonic() < until:
        terminal.type("\x03")  # once more, should it have come between the question and the reading
        terminal.until(lambda seen: "Interrupted." in seen, patience_s=1.0)
    assert terminal.end()[0] == 130
    assert len(small_shop("dead", "list", "--json").document["jobs"]) == 2


# ── Ctrl-C ──────────────────────────────────────────────────────────────────────────────────


def test_ctrl_c_detaches_and_says_how_many_were_done(shop: Shop) -> None:
    """Whatever the moment: what is said is what happened."""
    count = 1500
    many(shop, count)
    with opened(shop.url) as engine:
        write(engine, "UPDATE dutiful.job SET attempt = 0")
        write(
            engine,
            "INSERT INTO dutiful.dead (id, lane, died_at, run_at, enqueued_at, run_no, attempt, epoch,"
            " args_version, crashes, crashes_max, reason, delivery, task, args)"
            " SELECT id, lane, run_at, run_at, enqueued_at, 1, 1, 1, args_version, 0, 3, 'error', delivery,"
            " task, args FROM dutiful.job",
        )
        write(engine, "DELETE FROM dutiful.job")
    child = subprocess.Popen(
        shop.command("dead", "retry", "--all", "--yes", "--reason", "mended", "--pace", "100/s"),
        cwd=shop.folder,
        env=shop.environ(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        until = time.monotonic() + DEADLINE_S
        while not shop("job", "list", "--state", "ready", "--limit", "1").out and time.monotonic() < until:
            assert child.poll() is None, child.communicate()
        child.send_signal(signal.SIGINT)
        out, err = child.communicate(timeout=DEADLINE_S)
    finally:
        child.kill()
    assert child.returncode == 130, err
    assert "Traceback" not in err
    told = re.fullmatch(r"Detached: ([\d,]+) of 1,500 dead jobs retried, ([\d,]+) left\.\n", out)
    assert told is not None, out
    done, left = (int(number.replace(",", "")) for number in told.groups())
    assert done + left == count and done > 0
    found = shop("queue", "list", "--json").document["queues"]
    assert sum(queue["due"] for queue in found) == done
    assert sum(queue["dead"] for queue in found) == left
    [operation] = shop("bulk", "list", "--json").document["bulks"]
    assert f"dutiful bulk watch {operation['id']}" in err and operation["state"] == "running"
    aborted = shop("bulk", "abort", operation["id"], "--json").document["bulk"]
    assert (aborted["state"], aborted["done"], aborted["left"]) == ("aborted", done, left)


# ── how long it takes ───────────────────────────────────────────────────────────────────────


@pytest.mark.serial
def test_help_is_quick_and_loads_no_driver(small_shop: Shop) -> None:
    """The budget is 250 ms; CPU time, for the machine may be busy with something else."""
    modules, _ = loaded(small_shop, "--help")
    assert not modules & {
        "psycopg",
        "apsw",
        "rich",
        "dutiful.cli.job",
        "dutiful.cli.doctor",
        "dutiful.worker",
    }

    def seconds() -> float:
        before = os.times()
        subprocess.run(
            small_shop.command("--help"), env=small_shop.environ(), stdout=subprocess.DEVNULL, check=True
        )
        after = os.times()
        return (after.children_user - before.children_user) + (after.children_system - before.children_system)

    assert min(seconds() for _ in range(5)) < 0.25
