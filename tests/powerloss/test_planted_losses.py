"""Planted bugs: the syncs, our engine or the file weakened each time, and the checker notices."""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import apsw
import pytest

from dutiful.engines import sqlite
from dutiful.engines.sqlite_transactions import OwnTransaction
from dutiful.engines.work_sqlite import BEGIN, COMMIT
from dutiful.operations.plan import Step as OperationStep
from tests.powerloss import campaign
from tests.powerloss.disk import KEPT, Delete, Disk, Event, Image, Sync
from tests.powerloss.history import History, Mode, Rows, Seen, Step
from tests.powerloss.looking import FILE, look
from tests.powerloss.recording import Recording
from tests.powerloss.story import Told, tell

BUSY = (
    *("register", "enqueue_many", "take", "checkpoint", "end_some", "enqueue_many", "checkpoint", "end_some"),
    *("beat", "enqueue_one", "checkpoint", "retry", "reopen", "enqueue_many", "take", "beat", "end_some"),
)

both_modes = pytest.mark.parametrize("mode", ["full", "normal"])


def folder(tmp_path: Path, name: str) -> Path:
    (tmp_path / name).mkdir()
    return tmp_path / name


def found(tmp_path: Path, mode: Mode, *, words: Sequence[str] = BUSY, **planted: Any) -> str:
    """The first thing that the checker says of a story told with this bug."""
    told = tell(1, mode, folder(tmp_path, "store"), words=words, **planted)
    since = told.history.steps[0].acknowledged
    tally = campaign.lose_power(
        told, folder(tmp_path, "looked_at"), seed=1, extra=3, found_max=1, since=since
    )
    return str(tally.found[0]) if tally.found else "nothing"


def noticed(said: str) -> bool:
    """By one of the words that tell of a loss."""
    return any(f": {word}: " in said for word in ("lost", "no prefix", "unreadable", "integrity"))


# ── the syncs ───────────────────────────────────────────────────────────────────────────────


def made(events: Sequence[Event]) -> bool:
    """Whether the store was made, and closed once: its log is gone."""
    return any(isinstance(event, Delete) and event.name == FILE + "-wal" for event in events)


def lying(
    about: Literal["main", "log", "journal", "folder"], *, from_the_start: bool = False
) -> type[Recording]:
    """A disk that says that it has synced, and has not."""

    class Lying(Recording):
        def note(self, event: Event) -> None:
            if isinstance(event, Sync) and (from_the_start or made(self.events)):
                if about == "folder":
                    event = Sync(event.file, folder=False)
                elif self.kinds[event.file] == about:
                    return
            super().note(event)

    return Lying


@both_modes
def test_without_a_bug_nothing_is_found(tmp_path: Path, mode: Mode) -> None:
    told = tell(1, mode, folder(tmp_path, "store"), words=BUSY)
    since = told.history.steps[0].acknowledged
    tally = campaign.lose_power(told, folder(tmp_path, "looked_at"), seed=1, since=since, images_max=150)
    assert tally.found == []


@both_modes
def test_a_store_that_never_syncs_is_noticed(tmp_path: Path, mode: Mode) -> None:
    assert noticed(found(tmp_path, mode, synchronous="off"))


@both_modes
@pytest.mark.parametrize("about", ["main", "log", "folder"])
def test_a_disk_that_lies_is_noticed(tmp_path: Path, mode: Mode, about: Any) -> None:
    assert noticed(found(tmp_path, mode, layer=lying(about)))


@both_modes
def test_a_disk_that_lies_about_the_first_journal_is_noticed(tmp_path: Path, mode: Mode) -> None:
    """It serves only until the store is in WAL mode, so the power must go right then."""
    told = tell(1, mode, folder(tmp_path, "store"), words=(), layer=lying("journal", from_the_start=True))
    tally = campaign.lose_power(
        told, folder(tmp_path, "looked_at"), seed=1, extra=30, found_max=1, images_max=1_000
    )
    assert tally.found


def test_a_promise_of_full_that_is_only_normal_is_noticed(tmp_path: Path) -> None:
    assert "lost: a table of the user's" in found(tmp_path, "full", synchronous="normal")


# ── our engine ──────────────────────────────────────────────────────────────────────────────


class Halves(OwnTransaction):
    """Commits after each statement."""

    def execute(self, step: OperationStep, alone: bool) -> Any:
        rows = super().execute(step, alone)
        if not self._reads:
            self._connection.execute(COMMIT)
            self._connection.execute(BEGIN)
        return rows


class Hasty(OwnTransaction):
    """Says that a beat is stored, and commits it with what comes next."""

    _name = ""

    def begin(self) -> None:
        if self._connection.in_transaction:
            self._connection.execute(COMMIT)
        super().begin()

    def execute(self, step: OperationStep, alone: bool) -> Any:
        self._name = step.name
        return super().execute(step, alone)

    def commit(self) -> None:
        if self._name != "beat":
            super().commit()


class Everyday(OwnTransaction):
    """Stores what must last as if it were any other commit."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._usual = None


@pytest.mark.parametrize(("word", "operation"), [("start", "start"), ("effect", "intend")])
def test_what_must_last_and_is_stored_like_all_else_is_noticed(
    tmp_path: Path, word: str, operation: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite, "OwnTransaction", Everyday)
    said = found(tmp_path, "normal", words=("register", "take", word, word))
    assert re.search(f"lost: .*{operation} had to be there", said), said


@both_modes
def test_an_operation_in_two_transactions_is_noticed(
    tmp_path: Path, mode: Mode, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite, "OwnTransaction", Halves)
    assert "no prefix: unlike any step" in found(tmp_path, mode)


def test_an_acknowledgement_before_the_commit_is_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite, "OwnTransaction", Hasty)
    words = ("register", "enqueue_many", "beat", "enqueue_one", "end_one")
    assert "lost: beat" in found(tmp_path, "full", words=words)


# ── what is on the disk ─────────────────────────────────────────────────────────────────────


@pytest.fixture
def told(tmp_path: Path) -> Told:
    words = (
        "die_in_company",
        "suspect_alone",
        "declare",
        "end_some",
        "work",
        "cancel",
        "retry",
        "turn",
        *BUSY,
    )
    return tell(5, "full", folder(tmp_path, "store"), words=words)


def last_image(told: Told) -> Image:
    state = Disk()
    for event in told.events:
        state.apply(event)
    return state.image(KEPT, told.events[-1], random.Random(1))


def altered(image: Image, place: Path, *statements: str) -> Image:
    """The image after a hand has changed it."""
    for name, content in image.items():
        (place / name).write_bytes(content)
    connection = apsw.Connection(str(place / FILE))
    for statement in statements:
        connection.execute(statement)
    connection.close()
    changed = {path.name: path.read_bytes() for path in place.iterdir()}
    for path in place.iterdir():
        path.unlink()
    return changed


def says(told: Told, image: Image, place: Path) -> str:
    problems, _ = told.history.judge(look(image, place), len(told.events))
    return " ".join(problems)


def test_a_row_that_is_missing_or_changed_in_any_table_is_noticed(told: Told, tmp_path: Path) -> None:
    place, image = folder(tmp_path, "altered"), last_image(told)
    assert says(told, image, place) == ""
    rows = told.history.steps[-1].after
    tables = [name for name in rows if rows[name] and not name.startswith("sqlite_")]
    expected = {f"dutiful_{name}" for name in ("job", "dead", "history", "duty", "failure", "worker", "lane")}
    assert set(tables) >= expected | {"dutiful_ledger", "dutiful_audit", "receipts"}
    for table in tables:
        condition = "FALSE" if table in ("dutiful_version", "dutiful_ready_seq") else "TRUE"
        gone = altered(image, place, f"DELETE FROM {table} WHERE {condition}")
        if condition == "TRUE":
            assert says(told, gone, place), table
    # What was done to one row, and not to the other: half an operation.
    half = altered(image, place, "DELETE FROM receipts WHERE rowid = (SELECT max(rowid) FROM receipts)")
    assert "no prefix" in says(told, half, place) and "receipts: 1 rows less" in says(told, half, place)


def test_a_damaged_file_is_noticed(told: Told, tmp_path: Path) -> None:
    place, image = folder(tmp_path, "altered"), last_image(told)
    content = image[FILE]
    assert "unreadable" in says(told, {FILE: content[: len(content) // 2]}, place)
    assert "unreadable" in says(told, {FILE: b"?" + content[1:]}, place)
    index = altered(
        image,
        place,
        "PRAGMA writable_schema = ON",
        "DELETE FROM sqlite_master WHERE name = 'dutiful_failure_failed'",
    )
    assert "integrity" in says(told, index, place)


def test_a_broken_invariant_is_noticed(told: Told, tmp_path: Path) -> None:
    place = folder(tmp_path, "altered")
    broken = altered(
        last_image(told),
        place,
        "UPDATE dutiful_history SET run_no = 0, attempt = 0 WHERE outcome = 'performed'",
    )
    assert "I4" in says(told, broken, place)


def test_a_store_that_is_not_there_is_noticed(told: Told, tmp_path: Path) -> None:
    assert "the store itself" in says(told, {}, folder(tmp_path, "altered"))


# ── what is promised ────────────────────────────────────────────────────────────────────────


def rows(*names: str) -> Rows:
    return {"job": [(name,) for name in names]}


def history(mode: Mode, durable: bool = False) -> History:
    """Made, then a, b, c: acknowledged after 10, 20, 30 and 40 events; the log synced after 12."""
    steps = [
        Step("make", 0, 10, rows()),
        Step("a", 10, 20, rows("a")),
        Step("b", 20, 30, rows("a", "b"), durable),
        Step("c", 30, 40, rows("a", "b", "c")),
    ]
    return History(mode, steps, syncs=[12])


def test_what_must_be_there_and_what_can_be() -> None:
    full, normal, durable = history("full"), history("normal"), history("normal", durable=True)
    assert [full.least(n) for n in (0, 9, 10, 19, 20, 30, 39, 40)] == [-1, -1, 0, 0, 1, 2, 2, 3]
    assert [normal.least(n) for n in (11, 12, 40)] == [-1, 0, 0]
    assert [durable.least(n) for n in (29, 30, 40)] == [0, 2, 2]
    assert [full.most(n) for n in (0, 1, 10, 11, 40)] == [-1, 0, 0, 1, 3]


def test_each_way_to_be_wrong_is_named() -> None:
    full, normal = history("full"), history("normal")
    assert full.judge(Seen(rows("a", "b")), 35) == ([], 0)
    assert full.judge(Seen(rows("a", "b", "c")), 35) == ([], 0)
    assert full.judge(Seen(rows("a")), 35)[0] == ["lost: b had to be there (steps 2 to 2)"]
    assert normal.judge(Seen(rows("a")), 35) == ([], 1)
    assert normal.judge(Seen(rows()), 35) == ([], 2)
    assert "no prefix" in normal.judge(Seen(rows("b")), 35)[0][0]  # b without a
    assert "no prefix" in normal.judge(Seen(rows("a", "c")), 40)[0][0]  # a hole
    assert "ahead" in normal.judge(Seen(rows("a", "b", "c")), 30)[0][0]
    assert "the store itself" in full.judge(Seen(rows(), made_at=1), 12)[0][0]
    assert full.judge(Seen(rows(), made_at=1), 5) == ([], 0)
    assert full.judge(Seen(problems=("unreadable: no",)), 35)[0] == ["unreadable: no"]
