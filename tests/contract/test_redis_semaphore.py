"""The keys of the Ruby gem redis-semaphore, shared: its two known faults shown, and that ours has neither.

``Gem`` sends the gem's commands one by one, so that a death or a pause can be put between any two.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest

from dutiful.bridges import redis_semaphore, redis_semaphore_scripts
from dutiful.bridges.redis_locks import connected
from dutiful.bridges.redis_semaphore import RedisSemaphore
from dutiful.model.errors import InvalidOption, LockBusy, LockLost, SlotsDiffer
from tests.contract.test_locks import until

pytestmark = pytest.mark.redis

AVAILABLE, GRABBED, EXISTS = (f"SEMAPHORE:s:{key}" for key in ("AVAILABLE", "GRABBED", "EXISTS"))


class Gem:
    """What the gem sends, step by step."""

    def __init__(self, url: str, slots: int) -> None:
        self.redis = connected(url)
        self.slots = slots

    def create(self) -> None:
        if self.redis.getset(EXISTS, "1") is None:
            self.redis.expire(EXISTS, 10)
            with self.redis.pipeline() as pipe:
                pipe.delete(GRABBED).delete(AVAILABLE)
                for number in range(self.slots):
                    pipe.rpush(AVAILABLE, number)
                pipe.set("SEMAPHORE:s:VERSION", "1").persist(EXISTS).execute()

    def pop(self) -> str | None:
        found: str | None = self.redis.lpop(AVAILABLE)
        return found

    def now(self) -> float:
        seconds, micros = self.redis.time()
        return float(seconds + micros / 1e6)

    def grab(self, token: str | None) -> None:
        assert token is not None
        self.redis.hset(GRABBED, token, self.now())

    def lock(self) -> str | None:
        self.create()
        token = self.pop()
        if token is not None:
            self.grab(token)
        return token

    def signal(self, token: str | None) -> None:
        with self.redis.pipeline() as pipe:
            pipe.hdel(GRABBED, token).lpush(AVAILABLE, token).execute()

    def release_stale(self, timeout_s: float) -> None:
        for token, at in self.redis.hgetall(GRABBED).items():
            if float(at) + timeout_s < self.now():
                self.signal(token)

    def tokens(self) -> tuple[list[str], set[str]]:
        return sorted(self.redis.lrange(AVAILABLE, 0, -1)), set(self.redis.hkeys(GRABBED))


@pytest.fixture
def gem(redis_url: str) -> Iterator[Gem]:
    made = Gem(redis_url, 1)
    yield made
    made.redis.close()


def ours(gem: Gem, **more: Any) -> RedisSemaphore:
    url = "redis://" + "{host}:{port}/{db}".format(**{"host": "127.0.0.1", "db": 0} | arguments(gem))
    return RedisSemaphore(url, "s", **({"slots": gem.slots, "wait": "0.2s"} | more))


def arguments(gem: Gem) -> dict[str, Any]:
    found: dict[str, Any] = gem.redis.connection_pool.connection_kwargs
    return {key: found[key] for key in ("host", "port", "db") if key in found}


def refused(semaphore: RedisSemaphore) -> None:
    with pytest.raises(LockBusy):
        with semaphore:
            raise AssertionError("one too many")


# ── together ────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("first", ["gem", "ours"])
def test_both_sides_share_the_slots(gem: Gem, first: str) -> None:
    gem.slots = 2
    one, other = ours(gem), ours(gem)
    if first == "gem":
        gem.create()
    with one as held:
        token = gem.lock()
        assert token is not None and gem.lock() is None
        refused(other)
        gem.signal(token)
        with other as second:
            assert second.grant_no > held.grant_no and second.trusted
            assert gem.lock() is None
    assert gem.tokens() == (["0", "1"], set())


def test_a_gem_that_gives_back_wakes_us(gem: Gem) -> None:
    import threading

    token = gem.lock()
    came: list[int] = []

    def wait_for_it() -> None:
        with ours(gem, wait="60s") as held:
            came.append(held.grant_no)

    waiter = threading.Thread(target=wait_for_it)
    waiter.start()
    until(lambda: gem.redis.hlen("SEMAPHORE:s:DUTIFUL:ASKS") == 1)
    gem.signal(token)
    waiter.join(60)
    assert len(came) == 1


def test_what_we_hold_is_fresh_to_the_gem(gem: Gem) -> None:
    with ours(gem, lease="0.6s") as held:
        seen = gem.redis.hget(GRABBED, "0")
        until(lambda: float(gem.redis.hget(GRABBED, "0")) > float(seen) + 1)
        assert held.grant_no


def test_another_number_of_slots_is_refused(gem: Gem) -> None:
    gem.slots = 3
    tokens = [gem.lock() for _ in range(3)]
    with pytest.raises(SlotsDiffer, match="slots=3, and was asked for with slots=2"):
        with ours(gem, slots=2):
            raise AssertionError
    assert tokens == ["0", "1", "2"]


def test_one_object_is_one_holder(gem: Gem) -> None:
    semaphore = ours(gem)
    with semaphore, pytest.raises(InvalidOption), semaphore:
        raise AssertionError


# ── two holders after a stale release ───────────────────────────────────────────────────────


def test_the_gem_alone_lets_two_in(gem: Gem) -> None:
    """The fault: who was slow gives back what another holds by now, and a third is let in beside that one."""
    slow = gem.lock()
    until(lambda: gem.now() > float(gem.redis.hget(GRABBED, slow)) + 0.05)
    gem.release_stale(0.01)
    second = gem.lock()
    gem.signal(slow)
    third = gem.lock()
    assert second is not None and third is not None  # of one slot


def test_a_gem_that_gives_back_late_lets_none_of_ours_in(gem: Gem) -> None:
    slow = gem.lock()
    until(lambda: gem.now() > float(gem.redis.hget(GRABBED, slow)) + 0.05)
    gem.release_stale(0.01)
    with ours(gem, lease="10s") as held:
        gem.signal(slow)
        assert gem.tokens() == (["0"], set())  # as if it were free
        refused(ours(gem))
        assert gem.tokens() == ([], {"0"})  # put right
        assert gem.lock() is None
        held.check()
    assert gem.tokens() == (["0"], set())


def test_a_token_that_two_gems_gave_back_is_one(gem: Gem) -> None:
    token = gem.lock()
    gem.signal(token)
    gem.signal(token)
    gem.redis.lpush(AVAILABLE, "0.123", "9", "x")  # as its signal without a token makes
    with ours(gem):
        assert gem.tokens() == ([], {"0"})
        refused(ours(gem))
    assert gem.tokens() == (["0"], set())


def test_ours_gives_back_nothing_that_is_anothers(gem: Gem) -> None:
    semaphore = ours(gem, lease="0.4s")
    semaphore._keeper.store.renew = lambda tokens: 1 / 0  # type: ignore[assignment, method-assign]
    with pytest.raises(LockLost):
        with semaphore as held:
            until(lambda: not held.trusted)
            with ours(gem, wait="60s") as second:
                assert second.grant_no > held.grant_no
                before = gem.tokens()
                with pytest.raises(LockLost):
                    semaphore.__exit__(None, None, None)
                assert gem.tokens() == before == ([], {"0"})
                semaphore._entry = held._entry
            raise LockLost("s", 1, "as said above")


def test_one_that_was_taken_from_us_learns_it(gem: Gem) -> None:
    """A gem with a shorter time-out than our lease: it takes ours for stale, and another has it."""
    with pytest.raises(LockLost):
        with ours(gem, lease="0.6s") as held:
            gem.redis.hset(GRABBED, "0", gem.now())  # another's stamp
            until(lambda: not held.trusted)
    assert gem.tokens() == ([], {"0"})  # not ours to give back


# ── locked for ever after a death between two commands ──────────────────────────────────────


def test_the_gem_alone_is_locked_for_ever(gem: Gem) -> None:
    """The fault: killed between BLPOP and HSET, it leaves a token that is nowhere."""
    gem.create()
    assert gem.pop() == "0"
    gem.release_stale(0)
    assert gem.tokens() == ([], set()) and gem.lock() is None


def test_ours_makes_a_lost_token_anew(gem: Gem) -> None:
    gem.create()
    assert gem.pop() == "0"
    refused(ours(gem))  # it may be on its way
    with ours(gem, wait="60s", lost_after="0.3s"):
        assert gem.tokens() == ([], {"0"})
    assert gem.tokens() == (["0"], set())


def test_one_of_ours_that_dies_on_the_way_loses_nothing(gem: Gem, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redis_semaphore, "SPAN_US", 300_000)
    dead = ours(gem)
    dead._call(redis_semaphore_scripts.ENTER, "dead", 300_000)
    assert dead._moved("dead", 0)
    assert gem.tokens() == ([], set())
    refused(ours(gem, wait=0))
    with ours(gem, wait="60s", lost_after=None):
        assert dead._call(redis_semaphore_scripts.TAKE, "dead", 1_000_000) == []
    assert gem.tokens() == (["0"], set())


def test_one_of_ours_that_dies_while_it_holds_is_passed_by(gem: Gem) -> None:
    dead = ours(gem, lease="0.4s")
    dead._keeper.store.renew = lambda tokens: 1 / 0  # type: ignore[assignment, method-assign]
    dead.__enter__()
    with ours(gem, wait="60s", lost_after=None):
        pass


def test_a_dead_gem_is_passed_by_where_that_is_wanted(gem: Gem) -> None:
    gem.lock()
    refused(ours(gem))
    with ours(gem, wait="60s", stale="0.3s"):
        pass


def test_a_half_made_semaphore_is_made_whole(gem: Gem) -> None:
    """A gem that was killed while it made the keys: the key that says so is there, and no token."""
    gem.redis.set(EXISTS, "1")
    with ours(gem, wait="60s", lost_after="0.3s"):
        pass


def test_keys_that_expired_free_nothing_that_is_held(gem: Gem) -> None:
    """The gem's expiration= forgets the free tokens and that there is a semaphore, not who holds."""
    with ours(gem):
        gem.redis.delete(EXISTS, AVAILABLE)
        refused(ours(gem))


# ── planted bugs ────────────────────────────────────────────────────────────────────────────

Edits = list[tuple[str, str]]

PLANTS: dict[str, tuple[Edits, Any]] = {
    "what is said to be free is believed": (
        [
            ("redis.call('LREM', available, 0, token)\n  end\nend", "end\nend"),
            ("elseif not seen then", "elseif false then"),
            ("if seen[token] == nil then", "if false then"),
        ],
        test_a_gem_that_gives_back_late_lets_none_of_ours_in,
    ),
    "a lost token stays lost": ([("lost_after > 0", "false")], test_ours_makes_a_lost_token_anew),
    "keys that expired are made anew without a look": (
        [
            ("redis.call('DEL', available)\n", "redis.call('DEL', available, grabbed, ours)\n"),
        ],
        test_keys_that_expired_free_nothing_that_is_held,
    ),
    "a release looks at no stamp": (
        [("~= mine then return 0", "== 'x' then return 0")],
        test_one_that_was_taken_from_us_learns_it,
    ),
    "a renewal looks at no stamp": (
        [("and redis.call('HGET', grabbed, all[i]) == mine", "")],
        test_one_that_was_taken_from_us_learns_it,
    ),
    "who died on the way is waited for": (
        [("if tonumber(waiting[i + 1]) <= now then\n      if not", "if false then\n      if not")],
        test_one_of_ours_that_dies_on_the_way_loses_nothing,
    ),
}


@pytest.mark.parametrize("bug", sorted(PLANTS))
def test_planted_bugs_are_noticed(gem: Gem, monkeypatch: pytest.MonkeyPatch, bug: str) -> None:
    edits, fact = PLANTS[bug]
    scripts = {name: getattr(redis_semaphore_scripts, name) for name in ("ENTER", "TAKE", "RENEW", "RELEASE")}
    for text, instead in edits:
        assert any(text in whole for whole in scripts.values())
        scripts = {name: whole.replace(text, instead) for name, whole in scripts.items()}
    for name, planted in scripts.items():
        monkeypatch.setattr(redis_semaphore_scripts, name, planted)
    monkeypatch.setattr("tests.contract.test_redis_semaphore.until", _briefly)
    monkeypatch.setattr("tests.contract.test_redis_semaphore.ours", _impatient)
    arguments = {"monkeypatch": monkeypatch} if "way" in bug else {}
    with pytest.raises((AssertionError, LockBusy, LockLost, pytest.fail.Exception)):
        fact(gem, **arguments)


def _briefly(said: Any) -> None:
    end = time.monotonic() + 3
    while not said():
        assert time.monotonic() < end
        time.sleep(0.01)


_patient = ours


def _impatient(gem: Gem, **more: Any) -> RedisSemaphore:
    return _patient(gem, **({"wait": "0.2s"} | more | ({"wait": "2s"} if more.get("wait") == "60s" else {})))
