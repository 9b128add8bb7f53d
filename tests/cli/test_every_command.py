"""C1: what holds for every command, made from those that there are, so that a new one cannot be missed."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from typing import Any

import click
import pytest

from dutiful.cli import root
from dutiful.cli.root import program
from dutiful.engines.sqlite import SqliteEngine
from dutiful.model.jobs import NewWorker
from dutiful.model.operators import Operator
from dutiful.operations import groups, schedules, workers
from dutiful.supervise.ops import Ops, Wanted
from tests.cli.conftest import Shop
from tests.cli.test_doubt import cut_off, long_ago, unanswered

Path_ = tuple[str, ...]


def tree(group: click.Group, path: Path_ = ()) -> Iterator[tuple[Path_, click.Command]]:
    """Every command and group, by its words."""
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        yield (*path, name), command
        if isinstance(command, click.Group):
            yield from tree(command, (*path, name))


EVERY = dict(tree(program))  # type: ignore[arg-type]
LEAVES = [path for path, command in EVERY.items() if not isinstance(command, click.Group)]

LASTING = {("demo",), ("dev",), ("worker",), ("web",)}
"""They run until they are told to end: tests of their own, of real processes."""
OWN = {("drill",), ("check",), ("init",), ("reconcile",)}
"""They read or make code, not a store: tests of their own."""
STORELESS = {("completion",), ("explain",), *OWN}
LOOKED_AT = [path for path in LEAVES if path not in LASTING | OWN]


# ── the documents ───────────────────────────────────────────────────────────────────────────


class World:
    """A shop with something for every command to work on."""

    def __init__(self, shop: Shop) -> None:
        self.shop = shop
        app = shop.app
        app.migrate()

        @app.schedule("0 8 * * *", tz="UTC", name="daily")
        @app.task(name="report")
        def report() -> None: ...

        @app.task(name="pack", order="customer:{customer}")
        def pack(customer: int) -> None: ...

        pack.enqueue(7)
        row = NewWorker(app.name, "h", 1, 10**15, 1, "[]", "{}")
        worker = app.engine.run(workers.register(row))
        app.engine.run(schedules.declare(app.name, worker, app.declared_schedules()))
        self.dead()
        app.engine.run(groups.fold())
        self.fp = shop("dead", "groups", "--json").document["groups"][0]["fp"]
        self._letters = 0

    def dead(self) -> str:
        return self.shop.dead(1)[0]

    def ready(self) -> str:
        return self.shop.enqueue("mail", "to=ann")

    def cancelled(self) -> str:
        id = self.ready()
        assert self.shop("job", "cancel", id).code == 0
        return id

    def discarded(self) -> str:
        id = self.dead()
        assert self.shop("dead", "discard", id, "--reason", "void").code == 0
        return id

    def bulk(self, state: str = "") -> str:
        """A bulk operation that waits for its time, or one that is paused."""
        self.dead()
        ops = Ops(self.shop.app, Operator("ann", perms="admin"))
        begun = ops.retry_all(Wanted(), reason="r", start_at_us=4_102_444_800_000_000)
        assert begun.value is not None
        if state:
            assert self.shop("bulk", state, begun.value.id).code == 0
        return begun.value.id

    def over(self) -> str:
        """A bulk operation that is done."""
        self.dead()
        typed = ("dead", "discard", "--all", "--yes", "--reason", "r", "--json")
        return str(self.shop(*typed).document["bulk"])

    def doubt(self) -> str:
        """A job whose body was cut off where nobody can know whether it was done."""
        self._letters += 1
        id = cut_off(self.shop, letter=self._letters)
        long_ago(self.shop)
        return id


Typed = Callable[[World], list[str]]

ACTED = {"id", "state", "actor"}
JOB = {"job", "failures", "effects", "audit"}
BULKED = {"dry_run", "matched", "left", "refused", "stopped"}

WAYS: dict[Path_, tuple[Typed, int, str, set[str]]] = {
    ("enqueue",): (
        lambda w: ["charge", "order_id=7"],
        0,
        "enqueue/1",
        {"id", "duplicate", "app", "task", "queue", "state", "key"},
    ),
    ("job", "list"): (lambda w: [], 0, "job.list/1", {"app", "jobs", "next"}),
    ("job", "show"): (lambda w: [w.ready()], 0, "job.show/1", JOB),
    ("job", "why"): (lambda w: [w.ready()], 0, "job.why/1", {"id", "cause", "sentence", "details", "due_at"}),
    ("job", "cancel"): (lambda w: [w.ready()], 0, "job.cancel/1", ACTED),
    ("job", "retry"): (lambda w: [w.cancelled()], 0, "job.retry/1", ACTED),
    ("job", "unwaive"): (lambda w: [w.discarded()], 0, "job.unwaive/1", ACTED),
    ("dead", "list"): (lambda w: [], 0, "dead.list/1", {"app", "jobs", "next"}),
    ("dead", "show"): (lambda w: [w.dead()], 0, "job.show/1", JOB),
    ("dead", "retry"): (lambda w: [w.dead()], 0, "dead.retry/1", {*BULKED, "retried"}),
    ("dead", "waive"): (lambda w: [w.dead(), "--reason", "r"], 0, "dead.waive/1", {*BULKED, "waived"}),
    ("dead", "discard"): (
        lambda w: [w.dead(), "--reason", "r"],
        0,
        "dead.discard/1",
        {*BULKED, "discarded"},
    ),
    ("dead", "groups"): (lambda w: [], 0, "dead.groups/1", {"app", "groups"}),
    ("dead", "ack"): (lambda w: [w.fp, "--note", "known"], 0, "dead.ack/1", {"fp", "seen", "actor"}),
    ("dead", "edit"): (lambda w: [w.dead(), "to=ann"], 0, "dead.edit/1", ACTED),
    ("dead", "undo"): (lambda w: [w.discarded()], 0, "dead.undo/1", {"jobs", "actor"}),
    ("bulk", "list"): (lambda w: [], 0, "bulk.list/1", {"app", "bulks"}),
    ("bulk", "show"): (lambda w: [w.bulk()], 0, "bulk.show/1", {"bulk", "items"}),
    ("bulk", "watch"): (lambda w: [w.over()], 0, "bulk.watch/1", {"bulk", "over"}),
    ("bulk", "pause"): (lambda w: [w.bulk()], 0, "bulk.pause/1", {"bulk", "actor"}),
    ("bulk", "resume"): (lambda w: [w.bulk("pause")], 0, "bulk.resume/1", {"bulk", "actor"}),
    ("bulk", "abort"): (lambda w: [w.bulk()], 0, "bulk.abort/1", {"bulk", "actor"}),
    ("doubt", "list"): (lambda w: [], 0, "doubt.list/1", {"app", "doubts", "next"}),
    ("doubt", "show"): (lambda w: [w.doubt()], 0, "doubt.show/1", {"doubt", "effects"}),
    ("doubt", "confirm"): (lambda w: [w.doubt(), "--reason", "r"], 0, "doubt.confirm/1", set()),
    ("doubt", "resume"): (lambda w: [unanswered(w.shop), "--reason", "r"], 0, "doubt.resume/1", set()),
    ("doubt", "refute"): (lambda w: [w.doubt(), "--reason", "r", "--yes"], 0, "doubt.refute/1", set()),
    ("doubt", "waive"): (lambda w: [w.doubt(), "--reason", "r"], 0, "doubt.waive/1", set()),
    ("queue", "list"): (lambda w: [], 0, "queue.list/1", {"app", "queues"}),
    ("queue", "pause"): (
        lambda w: ["mail", "--reason", "r"],
        0,
        "queue.pause/1",
        {"name", "paused", "actor", "until"},
    ),
    ("queue", "resume"): (lambda w: ["mail"], 0, "queue.resume/1", {"name", "paused", "actor", "until"}),
    ("queue", "limit"): (
        lambda w: ["mail", "3", "--reason", "r"],
        0,
        "queue.limit/1",
        {"name", "limit", "limit_declared", "limited", "actor"},
    ),
    ("queue", "late"): (lambda w: [], 0, "queue.late/1", {"app", "since_s", "queues"}),
    ("schedule", "list"): (lambda w: [], 0, "schedule.list/1", {"app", "schedules", "new"}),
    ("schedule", "show"): (lambda w: ["daily"], 0, "schedule.show/1", set()),
    ("schedule", "run"): (
        lambda w: ["daily"],
        0,
        "schedule.run/1",
        {"schedule", "job", "duplicate", "actor"},
    ),
    ("schedule", "skip"): (
        lambda w: ["daily", "--at", "2026-01-15T08:00Z", "--reason", "r"],
        5,
        "error/1",
        {"code", "message", "hint", "exit"},
    ),
    ("schedule", "pause"): (
        lambda w: ["daily", "--reason", "r"],
        0,
        "schedule.pause/1",
        {"schedule", "actor"},
    ),
    ("schedule", "resume"): (lambda w: ["daily"], 0, "schedule.resume/1", {"schedule", "actor"}),
    ("schedule", "preview"): (lambda w: ["daily", "--count", "1"], 0, "schedule.preview/1", set()),
    ("gate", "show"): (lambda w: ["customer:7"], 0, "gate.show/1", {"app", "gates"}),
    ("lock", "break"): (
        lambda w: ["import", "--reason", "r"],
        5,
        "error/1",
        {"code", "message", "hint", "exit"},
    ),
    ("alert", "test"): (lambda w: [], 1, "alert.test/1", {"channels"}),
    ("gate", "list"): (lambda w: [], 0, "gate.list/1", {"app", "gates"}),
    ("lock", "list"): (lambda w: [], 0, "lock.list/1", {"app", "locks"}),
    ("audit", "verify"): (lambda w: [], 0, "audit.verify/1", set()),
    ("audit", "list"): (lambda w: [], 0, "audit.list/1", set()),
    ("migrate",): (lambda w: [], 0, "migrate/1", {"done", "pending"}),
    ("verdict",): (lambda w: [], 1, "verdict/1", set()),
    ("top",): (lambda w: [], 0, "top/1", set()),
    ("alert", "list"): (lambda w: [], 0, "alert.list/1", set()),
    ("verify",): (lambda w: [], 0, "verify/1", {"app", "full", "findings", "noted", "unsaid", "elsewhere"}),
    ("doctor",): (lambda w: [], 0, "doctor/1", {"verdict", "notes"}),
    ("completion",): (lambda w: ["bash"], 0, "completion/1", {"shell", "script"}),
    ("explain",): (lambda w: [], 0, "explain.list/1", {"errors"}),
}
"""What is typed, its exit code, and its document; an empty set of fields: other tests look at them."""


def test_c1_every_command_has_a_way_here() -> None:
    assert set(WAYS) == set(LOOKED_AT)
    assert set(EVERY) >= LASTING


def test_c1_every_command_ends_as_said_with_one_document_of_its_schema(small_shop: Shop) -> None:
    """In a pipe, with nobody at stdin: nothing is asked, and nothing is coloured."""
    world = World(small_shop)
    wrong = []
    for path, (typed, code, schema, fields) in WAYS.items():
        args = [*path, *typed(world)]
        answer = small_shop(*args, "--json")
        try:
            document: dict[str, Any] = answer.document
        except ValueError:
            document = {}
        named = document.pop("schema", None)
        told = set(document) if fields else set()
        lines = len(answer.out.splitlines())
        if (answer.code, named, told, lines) != (code, f"dutiful/{schema}", fields, 1):
            wrong.append((args, answer.code, named, told ^ fields, answer.err[:300]))
        if "\x1b" in answer.out + answer.err:
            wrong.append((args, "coloured"))
    assert not wrong, "\n".join(map(str, wrong))


def test_c1_every_command_speaks_plainly_to_a_pipe(small_shop: Shop) -> None:
    """Without --json, too; the code is the same, and what it says is no traceback."""
    world = World(small_shop)
    wrong = []
    for path, (typed, code, _, _) in WAYS.items():
        args = [*path, *typed(world)]
        answer = small_shop(*args, env={"NO_COLOR": "1"})
        said = answer.out + answer.err
        if answer.code != code or "\x1b" in said or "should not have" in answer.err or not said.strip():
            wrong.append((args, answer.code, answer.err[:300]))
    assert not wrong, "\n".join(map(str, wrong))


# ── help, bad input, no store ───────────────────────────────────────────────────────────────


def test_c1_every_command_has_help_without_an_app(small_shop: Shop) -> None:
    for path in [(), *EVERY]:
        answer = small_shop.bare(*path, "--help")
        assert answer.code == 0 and answer.err == "", path
        assert answer.out.startswith(f"Usage: dutiful {' '.join(path)}".rstrip()), path
        assert "--json" in answer.out
        assert max(len(line) for line in answer.out.splitlines()) <= 100, path


def test_c1_every_command_refuses_what_it_does_not_know(small_shop: Shop) -> None:
    for path in EVERY:
        answer = small_shop.bare(*path, "--no-such-thing")
        assert (answer.code, answer.out) == (2, ""), path
        assert "--no-such-thing" in answer.err and f"dutiful {' '.join(path)}" in answer.err, path


MISSING = "0198f3c1-0000-7000-8000-000000000000"
WORDS = {
    ("enqueue",): ["charge", "order_id=1"],
    ("queue", "limit"): ["q", "2", "--reason", "r"],
    ("schedule", "skip"): ["s", "--at", "2026-01-15T08:00Z", "--reason", "r"],
    ("schedule", "preview"): ["s"],
    ("dead", "retry"): [MISSING, "--reason", "r"],
    ("dead", "waive"): [MISSING, "--reason", "r"],
    ("dead", "discard"): [MISSING, "--reason", "r"],
    ("dead", "edit"): [MISSING, "a=1"],
    ("dead", "undo"): [MISSING],
    ("doubt", "waive"): [MISSING, "--reason", "r"],
    ("doubt", "refute"): [MISSING, "--reason", "r", "--yes"],
    ("doubt", "confirm"): [MISSING, "--reason", "r"],
    ("schedule", "pause"): ["s", "--reason", "r"],
    ("doubt", "resume"): [MISSING, "--reason", "r"],
}


NOWHERE = {("verdict",): 3, ("doctor",): 1, ("migrate",): 0, ("enqueue",): 2, ("alert", "test"): 2}
"""How these end without a store: two answer that, one makes it, two need code. All others: 4."""


def words(path: Path_, command: click.Command) -> list[str]:
    """What the command demands, whatever it is."""
    if path in WORDS:
        return WORDS[path]
    found = []
    for one in command.params:
        if isinstance(one, click.Argument):
            found += [MISSING] if one.required else []
        elif one.required:
            found += [one.opts[0], "x"]
    return found


def test_c1_every_command_says_that_there_is_no_store(small_shop: Shop) -> None:
    for path in LOOKED_AT:
        if path in STORELESS:
            continue
        typed = [*path, *words(path, EVERY[path]), "--store", f"sqlite:///{'-'.join(path)}.db", "--json"]
        answer = small_shop.bare(*typed)
        assert answer.code == NOWHERE.get(path, 4), (path, answer)
        assert answer.document["schema"].startswith("dutiful/"), path


# ── a reader that leaves, and Ctrl-C ────────────────────────────────────────────────────────


class Closed:
    """A pipe whose reader is gone."""

    encoding = "utf-8"
    errors = "strict"

    def write(self, _: object) -> int:
        raise BrokenPipeError

    def flush(self) -> None:
        raise BrokenPipeError

    def isatty(self) -> bool:
        return False


def test_c1_every_command_is_quiet_when_its_reader_leaves(
    small_shop: Shop, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One real process shows what becomes of it (test_processes); here is that every command gets there."""
    world = World(small_shop)
    monkeypatch.setattr(root, "_nobody_reads", lambda: 141)
    monkeypatch.setenv("DUTIFUL_APP", f"{small_shop.module}:app")
    for path, (typed, refused, schema, _) in WAYS.items():
        args = [*path, *typed(world), "--json"]
        capsys.readouterr()
        with monkeypatch.context() as patch:
            patch.setattr(sys, "stdout", Closed())
            code = program.main(args, standalone_mode=False)
        assert code == (refused if schema == "error/1" else 141), path  # errors were said on stderr
        assert "Traceback" not in capsys.readouterr().err, path


def test_c1_every_command_that_looks_at_a_store_ends_at_ctrl_c_with_130(
    small_shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    small_shop("migrate")

    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(SqliteEngine, "run", interrupted)
    monkeypatch.setattr(SqliteEngine, "migrate", interrupted)
    for path in LOOKED_AT:
        if path in STORELESS | {("alert", "test"), ("schedule", "run"), ("schedule", "preview")}:
            continue  # these look at the app's code first
        answer = small_shop(*path, *words(path, EVERY[path]))
        assert (answer.code, answer.err) == (130, "Interrupted.\n"), (path, answer)
