"""The disk that all rests on: what was synced stays, and all else may be there or not."""

from __future__ import annotations

import itertools
import random
from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from tests.powerloss.disk import (
    DROPPED,
    KEPT,
    SECTOR_BYTES,
    Create,
    Delete,
    Disk,
    Event,
    Fate,
    Image,
    Sync,
    Truncate,
    Write,
    drawn,
    pieces,
    torn,
)

SYNC = Sync(1, folder=True)


def after(events: Sequence[Event], fate: Fate, seed: int = 1) -> Image:
    state = Disk()
    for event in events:
        state.apply(event)
    return state.image(fate, events[-1], random.Random(seed))


def every(events: Sequence[Event], fate: Fate) -> set[bytes | None]:
    """All that may be in file "a"."""
    return {after(events, fate, seed).get("a") for seed in range(300)}


MADE: tuple[Event, ...] = (Create("a", 1), Write(1, 0, b"abcd"), SYNC)


def test_what_was_synced_is_there_and_what_was_written_may_be() -> None:
    events = [*MADE, Write(1, 2, b"XY"), Write(1, 4, b"Z")]
    assert after(events, DROPPED) == {"a": b"abcd"}
    assert after(events, KEPT) == {"a": b"abXYZ"}
    some = Fate("some", keep=0.5)
    assert every(events, some) == {b"abcd", b"abXY", b"abXYZ", b"abcdZ"}


def test_writes_may_come_in_any_order() -> None:
    events = [*MADE, Write(1, 0, b"1"), Write(1, 0, b"2")]
    assert every(events, Fate("", shuffled=True)) == {b"1bcd", b"2bcd"}
    # but a cut stays where it was
    events = [*MADE, Truncate(1, 1), Write(1, 1, b"X")]
    assert every(events, Fate("", shuffled=True)) == {b"aX"}


def test_a_hole_holds_zeros_or_chance_and_a_size_is_old_or_new() -> None:
    events = [*MADE, Write(1, 4, b"e" * 8), Write(1, 12, b"f")]
    only_last = Fate("", keep=0.5)
    assert b"abcd" + bytes(8) + b"f" in every(events, only_last)
    assert every(events, Fate("", keep=0.0, size="extended")) == {b"abcd" + bytes(9)}
    assert every(events, Fate("", size="synced")) == {b"abcd"}
    garbled = every(events, Fate("", keep=0.0, garbled=True, size="extended"))
    assert len(garbled) > 200 and {content[:4] for content in garbled if content} == {b"abcd"}


def test_a_name_is_sure_after_the_sync_of_its_folder() -> None:
    unsure: list[Event] = [Create("a", 1), Write(1, 0, b"x"), Sync(1, folder=False)]
    assert every(unsure, Fate("", names=0.5)) == {None, b"x"}
    assert every([*unsure, SYNC], DROPPED) == {b"x"}
    # A name that was deleted may be back, with what it named then, also beside a new file of that name.
    deleted: list[Event] = [*unsure, SYNC, Delete("a", synced=False)]
    assert every(deleted, Fate("", names=0.5)) == {None, b"x"}
    assert every([*deleted, Create("a", 2)], Fate("", names=0.5)) == {None, b"x", b""}
    assert every([*unsure, SYNC, Delete("a", synced=True)], DROPPED) == {None}


def test_only_the_last_write_is_torn() -> None:
    events = [*MADE, Write(1, 0, b"A"), Write(1, 1, b"x" * 2000)]
    fate = Fate("", keep=0.5, piece_bytes=SECTOR_BYTES, only_last=True)
    found = every(events, fate)
    assert {content[:1] for content in found if content} == {b"A"}
    assert len(found) >= 8


@given(offset=st.integers(0, 5000), length=st.integers(1, 9000), size=st.sampled_from([512, 4096]))
def test_pieces_are_the_write_torn_at_sectors(offset: int, length: int, size: int) -> None:
    write = Write(1, offset, random.Random(1).randbytes(length))
    torn_up = list(pieces(write, size))
    assert b"".join(piece.data for piece in torn_up) == write.data
    assert torn_up[0].offset == offset
    for one, other in itertools.pairwise(torn_up):
        assert one.offset + len(one.data) == other.offset
        assert other.offset % size == 0


writes = st.builds(Write, st.just(1), st.integers(0, 3000), st.binary(min_size=1, max_size=1500))
changes = st.one_of(writes, st.builds(Truncate, st.just(1), st.integers(0, 3000)), st.just(SYNC))


@given(st.lists(changes, min_size=1), st.integers(0, 10**6))
def test_no_fate_changes_a_byte_that_was_synced_and_not_written_since(events: list[Event], seed: int) -> None:
    chance = random.Random(seed)
    whole = [Create("a", 1), SYNC, *events]
    synced = after(whole, DROPPED)["a"]
    last_sync = max(n for n, event in enumerate(whole) if isinstance(event, Sync))
    touched = {
        at
        for event in whole[last_sync:]
        for at in (
            range(event.offset, event.offset + len(event.data))
            if isinstance(event, Write)
            else range(event.size, 10_000)
            if isinstance(event, Truncate)
            else ()
        )
    }
    for fate in (drawn(chance), torn(chance), KEPT):
        found = after(whole, fate, seed)["a"]
        for at, byte in enumerate(synced):
            if at not in touched:
                assert found[at] == byte, fate
