"""The table of transitions is read as it is written, and what is wrong with it is seen."""

from __future__ import annotations

import pytest

from dutiful.model.states import (
    CLOSED,
    OPEN,
    OUTCOMES,
    REASONS,
    STATES,
    TRANSITIONS,
    UNRESOLVED,
    VERBS,
    parse,
)


def test_the_groups_are_states_and_each_state_has_a_place():
    assert set(STATES) == OPEN | CLOSED | UNRESOLVED
    assert OPEN.isdisjoint(CLOSED)
    assert UNRESOLVED.isdisjoint(CLOSED)
    assert len(set(STATES)) == len(STATES) == 6
    assert len(set(OUTCOMES)) == len(OUTCOMES)
    assert len(set(REASONS)) == len(REASONS)


def test_every_row_of_the_table_is_a_verb():
    rows = TRANSITIONS.strip().splitlines()[1:]
    assert list(VERBS) == [row.split("|")[0].strip() for row in rows]


def test_every_state_but_the_first_is_reached_and_every_state_can_be_left():
    assert {target for verb in VERBS.values() for target in verb.targets} == set(STATES)
    left = {source.partition("(")[0] for verb in VERBS.values() for source in verb.sources}
    assert left == set(STATES)


@pytest.mark.parametrize(
    ("verb", "state", "outcome", "allowed"),
    [
        ("claim", "ready", None, True),
        ("claim", "running", None, False),
        ("waive", "dead", None, True),
        ("waive", "in_doubt", None, True),
        ("unwaive", "done", "waived", True),
        ("unwaive", "done", "performed", False),
        ("unwaive", "done", None, False),
        ("retry", "done", "skipped", True),
        ("retry", "done", "performed", False),
        ("retry", "cancelled", None, True),
        ("enqueue", "ready", None, False),
        ("prune", "done", "performed", True),
        ("prune", "dead", None, False),
    ],
)
def test_which_state_a_verb_takes(verb, state, outcome, allowed):
    assert VERBS[verb].allows(state, outcome) is allowed


def test_only_the_clock_and_people_touch_a_job_without_a_token():
    for verb in VERBS.values():
        if "running" in verb.sources:
            assert verb.by in ("worker", "clock"), verb


def test_nothing_leaves_the_history_but_by_a_person_or_time():
    for verb in VERBS.values():
        if {source.partition("(")[0] for source in verb.sources} & CLOSED:
            assert verb.by in ("person", "clock"), verb


HEAD = "verb | from | to | by | because\n"


@pytest.mark.parametrize(
    ("row", "why"),
    [
        ("go | redy | done | clock | x", "'redy' is no state"),
        ("go | done(finished) | ready | person | x", "is no state"),
        ("go | ready | dun | clock | x", "is no list of states"),
        ("go | ready | done done | clock | x", "is no list of states"),
        ("go | ready | done | nobody | x", "guards nothing"),
        ("go | ready | done | clock", "unpack"),
    ],
)
def test_a_slip_in_the_table_is_seen(row, why):
    with pytest.raises(ValueError, match=why):
        parse(HEAD + row)


def test_a_row_is_read_whole():
    [made] = parse(HEAD + "go | done(waived) dead | ready in_doubt | person | why, and so on").values()
    assert made.sources == ("done(waived)", "dead")
    assert set(made.targets) == {"ready", "in_doubt"}
    assert (made.by, made.because) == ("person", "why, and so on")
