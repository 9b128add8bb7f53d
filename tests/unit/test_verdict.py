"""The verdict as a table: every combination of numbers and watchers (H1), and its sentences word for word."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import product

import pytest

from dutiful.model.verdict import (
    NAMES,
    WATCHED_BY,
    WATCHERS,
    Name,
    Numbers,
    State,
    Thing,
    Verdict,
    Watch,
    judge,
)

SECOND = 1_000_000
NOW = 1_800_000_000 * SECOND
LIVE = {name: Watch(name, 10 * SECOND, 4 * SECOND) for name in WATCHERS}


def read(
    bad: Iterable[Name] = (),
    silent: Iterable[str] = (),
    *,
    age_s: int | None = 250,
    unread: dict[Name, str] | None = None,
    unchecked: Iterable[str] = (),
    state: State | None = None,
    since_s: int = 0,
) -> Verdict:
    """The verdict where these numbers are bad and these watchers silent."""
    age = None if age_s is None else age_s * SECOND
    watches = [Watch(name, 10 * SECOND, age) if name in set(silent) else LIVE[name] for name in WATCHERS]
    things = [Thing(f"{name}:x", name, f"{name}!", since_us=NOW) for name in bad]
    since = None if state is None else NOW - since_s * SECOND
    kept = {"state": state, "since_us": since}
    return judge(Numbers("shop", NOW, things, watches, unread or {}, tuple(unchecked), **kept))  # type: ignore[arg-type]


def test_H1_every_number_and_watcher_live_or_stale() -> None:
    assert len(NAMES) == 4 and len(WATCHERS) == 8
    seen = 0
    for bad_flags, silent_flags in product(product((0, 1), repeat=4), product((0, 1), repeat=8)):
        bad = [name for name, flag in zip(NAMES, bad_flags, strict=True) if flag]
        silent = {name for name, flag in zip(WATCHERS, silent_flags, strict=True) if flag}
        verdict = read(bad, silent)
        assert verdict.state == ("person" if bad else "unknown" if silent else "well")
        assert (verdict.sign == "✓") == (not bad and not silent)
        for one in verdict.numbers:
            assert bool(one.unknown) == bool(silent & set(WATCHED_BY[one.name]))
            assert ("✓" in one.sign) == (one.name not in bad and not one.unknown)
            assert ("?" in one.sign) == bool(one.unknown)
        if silent:
            assert "well" not in verdict.headline.lower() or "the rest is well" in verdict.headline
        seen += 1
    assert seen == 4096


def test_H1_every_watcher_is_needed_by_some_number() -> None:
    assert set(WATCHERS) == {one for names in WATCHED_BY.values() for one in names}
    for name in WATCHERS:
        assert read(silent=[name]).state == "unknown"


@pytest.mark.parametrize(
    ("verdict", "sentence"),
    [
        (read(), "All is well. Nothing lost, nothing doubled, nothing late, nothing unseen."),
        (
            read(state="well", since_s=532_800),
            "All is well, for 6d 4h. Nothing lost, nothing doubled, nothing late, nothing unseen.",
        ),
        (
            read(unchecked=["reconcilers", "drills", "checks"], state="well", since_s=60),
            "Well as far as is checked, for 1m: nothing lost, nothing doubled, nothing late, nothing unseen."
            " Not checked yet: reconcilers, drills and checks.",
        ),
        (read(["late"]), "Needs a person: 1 thing."),
        (read(["lost", "unseen"]), "Needs a person: 2 things."),
        (
            read(silent=["bookkeeper"]),
            "Cannot say: bookkeeper silent for 4m 10s, so lost is unknown; the rest is well.",
        ),
        (
            read(silent=["checker"]),
            "Cannot say: checker silent for 4m 10s, so lost and doubled are unknown; the rest is well.",
        ),
        (
            read(silent=["bookkeeper", "prover"], age_s=None),
            "Cannot say: bookkeeper has never looked, so lost is unknown; prover has never looked,"
            " so unseen is unknown; the rest is well.",
        ),
        (
            read(silent=["bookkeeper", "reaper"], age_s=None),
            "Cannot say: bookkeeper and reaper have never looked, so lost is unknown; the rest is well.",
        ),
        (
            read(["late"], silent=WATCHERS, age_s=None),
            "Needs a person: 1 thing. Besides, nobody watches (no worker of this app has looked lately),"
            " so lost, doubled, late and unseen are unknown.",
        ),
        (
            read(["late"], ["bookkeeper"]),
            "Needs a person: 1 thing. Besides, bookkeeper silent for 4m 10s, so lost is unknown.",
        ),
        (
            read(silent=WATCHERS),
            "Cannot say: nobody watches (no worker of this app has looked lately), so lost, doubled, late and"
            " unseen are unknown.",
        ),
        (
            read(unread={"unseen": "1 alert could not be delivered"}),
            "Cannot say: 1 alert could not be delivered, so unseen is unknown; the rest is well.",
        ),
        (
            read(unread=dict.fromkeys(NAMES, "the store cannot be read")),
            "Cannot say: the store cannot be read, so lost, doubled, late and unseen are unknown.",
        ),
    ],
)  # fmt: skip
def test_H1_golden_sentences(verdict: Verdict, sentence: str) -> None:
    assert verdict.headline == sentence


def test_a_watcher_is_silent_after_three_of_its_periods() -> None:
    at = [Watch("reaper", 10, age).silent for age in (0, 30, 31, None)]
    assert at == [False, False, True, True]


def test_what_nobody_read_of_a_watcher_is_silence() -> None:
    verdict = judge(Numbers("shop", NOW, watches=[LIVE[name] for name in WATCHERS if name != "reaper"]))
    assert verdict.state == "unknown"
    assert verdict.number("lost").unknown == "reaper has never looked"


def test_one_more_watcher_than_is_needed_changes_nothing() -> None:
    more = Watch("somebody", 10, None)
    verdict = judge(Numbers("shop", NOW, watches=[*LIVE.values(), more]))
    assert (verdict.state, verdict.watches[-1]) == ("well", more)


def test_one_that_has_nothing_to_watch_is_not_silent() -> None:
    watches = [*(LIVE[name] for name in WATCHERS if name != "prover"), Watch("prover", 0, None, needed=False)]
    verdict = judge(Numbers("shop", NOW, watches=watches, unchecked=["alerts"]))
    assert (verdict.state, verdict.number("unseen").unknown) == ("well", "")
    assert verdict.headline.startswith("Well as far as is checked")


def test_since_is_told_only_of_the_state_that_lasts() -> None:
    assert read(state="well", since_s=60).since_us == NOW - 60 * SECOND
    assert read(["late"], state="well", since_s=60).since_us is None


def test_the_worst_comes_first_and_of_these_the_oldest() -> None:
    made = [("late", 5), ("lost", 9), ("unseen", 1), ("lost", 3), ("doubled", 7), ("lost", None)]
    things = [Thing(f"{name}:{since}", name, "", since_us=since) for name, since in made]  # type: ignore[arg-type]
    verdict = judge(Numbers("shop", NOW, things, list(LIVE.values())))
    assert [one.key for one in verdict.things] == [
        "lost:3", "lost:9", "lost:None", "doubled:7", "late:5", "unseen:1",
    ]  # fmt: skip
    assert [one.amount for one in verdict.numbers] == [3, 1, 1, 1]
    assert (verdict.title, read().title, read(silent=["reaper"]).title) == ("✗6", "✓", "?")
