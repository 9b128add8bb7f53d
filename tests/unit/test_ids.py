"""Job ids: canonical version 7, increasing within a process, whatever the clock and the threads do."""

from __future__ import annotations

import hashlib
import itertools
import os
import signal
import threading
import time
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dutiful.model.ids import SETBACK_MS_MAX, IdMaker, LaterIds, id_time_us, make_id, new_id, parse_id

MS = 1_000_000


def test_the_example_of_the_rfc():
    """RFC 9562, A.6: 0x017F22E279B0, rand_a 0xCC3, rand_b 0x18C4DC0C0C07398F."""
    chance = 0x0CC3.to_bytes(2, "big") + 0x18C4DC0C0C07398F.to_bytes(8, "big")
    assert new_id(0x017F22E279B0, chance) == "017f22e2-79b0-7cc3-98c4-dc0c0c07398f"


@given(st.integers(0, 2**48 - 1), st.binary(min_size=10, max_size=10))
def test_an_id_is_a_canonical_uuid_that_knows_its_time(now_ms, chance):
    made = new_id(now_ms, chance)
    known = uuid.UUID(made)
    assert str(known) == made
    assert (known.version, known.variant) == (7, uuid.RFC_4122)
    assert known.int >> 80 == now_ms
    assert id_time_us(made) == now_ms * 1000
    assert parse_id(made) == made


@given(st.binary(min_size=10, max_size=10), st.integers(0, 79))
def test_each_bit_of_chance_but_six_is_in_the_id(chance, bit):
    other = (int.from_bytes(chance, "big") ^ 1 << bit).to_bytes(10, "big")
    unused = bit >= 76 or bit in (62, 63)
    assert (new_id(1, chance) == new_id(1, other)) == unused


@pytest.mark.parametrize(("now_ms", "chance"), [(-1, b"0" * 10), (2**48, b"0" * 10), (0, b"0" * 9)])
def test_an_id_is_not_made_from_less(now_ms, chance):
    with pytest.raises(ValueError, match="ten random bytes"):
        new_id(now_ms, chance)


class Clock:
    def __init__(self, *ms: int) -> None:
        self.ms = list(ms)

    def __call__(self) -> int:
        return (self.ms.pop(0) if len(self.ms) > 1 else self.ms[0]) * MS


def test_ids_of_one_millisecond_increase_and_borrow_the_next():
    make = IdMaker(Clock(1_000), os.urandom).make
    made = [make() for _ in range(5000)]
    assert made == sorted(set(made))
    assert {id_time_us(one) for one in made} == {1_000_000, 1_001_000}


@given(st.lists(st.integers(0, 9_000), min_size=1, max_size=5), st.integers(0, 15))
def test_many_ids_at_once_are_those_of_as_many_calls(counts, digit):
    class Chance:
        def __init__(self) -> None:
            self.left = hashlib.shake_128(bytes([digit])).digest(8 * sum(counts))

        def __call__(self, size: int) -> bytes:
            given, self.left = self.left[:size], self.left[size:]
            return given

    one, many = IdMaker(Clock(1_000), Chance()), IdMaker(Clock(1_000), Chance())
    made = [id for count in counts for id in many.make_many(count)]
    assert made == [one.make() for _ in range(sum(counts))]


def test_ids_that_are_made_later_are_made_once():
    ids = LaterIds(1_234)
    some = list(itertools.islice(ids, 700))
    all_of_them = list(ids)
    assert len(ids) == len(all_of_them) == len(set(all_of_them)) == 1_234
    assert all_of_them[:700] == some and all_of_them == sorted(all_of_them) == list(ids)


def test_ids_increase_while_the_clock_steps_back_a_little():
    make = IdMaker(Clock(50_000, 49_000, 40_001, 50_001), os.urandom).make
    made = [make() for _ in range(4)]
    assert made == sorted(made)
    assert [id_time_us(one) for one in made] == [50_000_000, 50_000_000, 50_000_000, 50_001_000]


def test_a_clock_that_was_wrong_by_much_is_followed_back():
    make = IdMaker(Clock(90_000_000, 90_000_000 - SETBACK_MS_MAX), os.urandom).make
    make()
    assert id_time_us(make()) == (90_000_000 - SETBACK_MS_MAX) * 1000


@given(st.lists(st.integers(0, SETBACK_MS_MAX - 1), min_size=1, max_size=50))
def test_ids_increase_under_any_clock_that_jitters(ms):
    make = IdMaker(Clock(*ms), lambda count: b"\xff" * count).make
    made = [make() for _ in range(len(ms) + 5)]
    assert made == sorted(set(made))


def test_ids_of_many_threads_are_all_different_and_increase_within_each():
    made: list[list[str]] = [[] for _ in range(8)]

    def produce(own: list[str]) -> None:
        own.extend(make_id() for _ in range(2000))

    threads = [threading.Thread(target=produce, args=(own,)) for own in made]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(own == sorted(own) for own in made)
    assert len({one for own in made for one in own}) == 8 * 2000


def test_an_id_is_of_now():
    before = time.time_ns() // MS
    at = id_time_us(make_id())
    assert before * 1000 <= at <= (time.time_ns() // MS + 5) * 1000


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_the_child_of_a_fork_makes_ids_though_another_thread_held_the_lock():
    from dutiful.model import ids

    read, write = os.pipe()
    with ids._maker._lock:
        pid = os.fork()
        if pid == 0:
            signal.alarm(10)  # should it wait for the lock for ever
            os.write(write, make_id().encode())
            os._exit(0)
    os.close(write)
    child = os.read(read, 36).decode()
    os.close(read)
    os.waitpid(pid, 0)
    assert parse_id(child) != make_id()


@pytest.mark.parametrize(
    "text",
    [
        "0190163d-8694-739b-aea5-966c26f8ad91",
        "0190163D-8694-739B-AEA5-966C26F8AD91",
        "0190163d8694739baea5966c26f8ad91",
        " 0190163d-8694-739b-aea5-966c26f8ad91\n",
        "{0190163d-8694-739b-aea5-966c26f8ad91}",
        "urn:uuid:0190163d-8694-739b-aea5-966c26f8ad91",
    ],
)
def test_any_text_of_an_id_is_understood(text):
    assert parse_id(text) == "0190163d-8694-739b-aea5-966c26f8ad91"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "42",
        "0190163d-8694-739b-aea5-966c26f8ad9",
        "0190163d-8694-739b-aea5-966c26f8ad911",
        "0190163g-8694-739b-aea5-966c26f8ad91",
        "0190_63d-8694-739b-aea5-966c26f8ad91",
        "0190163d_8694_739baea5966c26f8ad91",
        "01-90163d8694739baea5966c26f8ad91",
        "x" * 1000,
    ],
)
def test_what_is_no_id_is_refused(text):
    with pytest.raises(ValueError, match="is no job id") as caught:
        parse_id(text)
    assert len(str(caught.value)) < 150


def test_the_time_of_another_version_is_not_known():
    assert id_time_us(str(uuid.uuid4())) is None
    assert id_time_us("") is None


@given(st.uuids())
def test_every_uuid_can_be_an_id(known):
    assert parse_id(known.hex) == parse_id(str(known).upper()) == str(known)
