"""Where a worker looks: in a table that chance chooses, at a moment of its life that chance chooses."""

from __future__ import annotations

import random

from dutiful.model.ids import id_between, new_id
from dutiful.worker.verifying import place_of

OLD, MIDDLE, NEW = (new_id(ms, bytes(10)) for ms in (1_000_000, 2_000_000, 3_000_000))


def test_an_id_between_two_is_where_it_is_said_to_be() -> None:
    assert id_between(OLD, NEW, 0.0) == OLD
    assert id_between(OLD, NEW, 1.0) == NEW
    assert id_between(OLD, OLD, 0.3) == OLD
    assert id_between(OLD, NEW, 0.5)[:13] == MIDDLE[:13]
    ids = [id_between(OLD, NEW, share / 100) for share in range(101)]
    assert ids == sorted(ids)


def test_each_table_and_each_moment_has_its_chance() -> None:
    chance = random.Random(7)
    spans = [(OLD, MIDDLE), (NEW, NEW)]
    places = [place_of(spans, chance.random()) for _ in range(400)]
    times = [int(id[:8] + id[9:13], 16) for id in places if id is not None and id != NEW]
    assert 150 < len(times) < 250
    assert min(times) < 1_050_000 and max(times) > 1_950_000
    assert place_of([], 0.5) is None
    assert place_of([(OLD, NEW)], 0.0) == OLD
