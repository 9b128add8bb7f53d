"""``dutiful dead``: listing, and bringing back exactly what was counted, with what was refused listed."""

from __future__ import annotations

import pytest

from tests.cli.conftest import Shop


def ids(shop: Shop, *args: str) -> list[str]:
    return [job["id"] for job in shop("dead", "list", "--json", *args).document["jobs"]]


def test_no_dead_jobs_is_an_answer(shop: Shop) -> None:
    shop("migrate")
    empty = shop("dead", "list")
    assert empty.code == 0 and empty.out == ""
    assert empty.err == 'No dead jobs in any queue of app "shop".\n'
    shop.enqueue("mail", "to=ann")
    shop.run_all()
    assert "The last job done: just now." in shop("dead", "list").err


def test_the_dead_are_listed_with_what_they_died_of(shop: Shop) -> None:
    [first, last] = shop.dead(2)
    listed = shop("dead", "list")
    header, *rows = listed.out.splitlines()
    assert header.split() == ["ID", "DIED", "TASK", "QUEUE", "REASON", "TRIES", "ERROR", "DIED", "AT", "ARGS"]
    assert {row[:36] for row in rows} == {first, last}
    assert all("TimeoutError: no answer from boom" in row and '{"to":"boom"}' in row for row in rows)
    [job, _] = shop("dead", "list", "--json").document["jobs"]
    assert job["reason"] == "error" and job["outcome"] is None
    assert job["error"] == {"kind": "TimeoutError", "message": "no answer from boom"}
    assert f"dutiful dead retry {first}" in shop("dead", "show", first).err


def test_a_filter_that_finds_nothing_says_so(shop: Shop) -> None:
    shop.dead(1)
    assert ids(shop, "--task", "mail") == ids(shop, "--queue", "mail") == ids(shop, "--error", "timeouterror")
    assert len(ids(shop, "--error", "no answer")) == 1
    for args in (["--task", "charge"], ["--queue", "default"], ["--error", "Value"], ["--older-than", "1h"]):
        assert ids(shop, *args) == []
        assert "There are others: dutiful dead list" in shop("dead", "list", *args).err


def test_pages_give_each_job_once(shop: Shop) -> None:
    shop.dead(5)
    whole = ids(shop)
    first = shop("dead", "list", "--json", "--limit", "2").document
    second = shop("dead", "list", "--json", "--limit", "2", "--after", first["next"]).document
    third = shop("dead", "list", "--json", "--limit", "2", "--after", second["next"]).document
    paged = [job["id"] for page in (first, second, third) for job in page["jobs"]]
    assert paged == whole and len(set(paged)) == 5
    assert third["next"] is None
    assert f"--after {first['next']}" in shop("dead", "list", "--limit", "2").err


def test_a_search_that_was_cut_short_says_so(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    from dutiful.cli import dead, selection

    monkeypatch.setattr(selection, "PAGE", 2)
    monkeypatch.setattr(dead, "SEARCHED_MAX", 2)
    shop.dead(5)
    cut = shop("dead", "list", "--error", "nothing like it")
    assert cut.out == "" and "Looked through 2 dead jobs, and there are more: --after " in cut.err
    on = shop("dead", "list", "--error", "nothing like it", "--json").document["next"]
    assert on is not None and shop("dead", "list", "--error", "TimeoutError", "--after", on).code == 0


def test_one_is_brought_back(shop: Shop) -> None:
    [id] = shop.dead(1)
    done = shop("dead", "retry", id, "--reason", "mended", "--as", "ann")
    assert (done.code, done.out) == (0, "1 of 1 dead job retried.\n")
    page = shop("job", "show", id, "--json").document
    assert page["job"]["state"] == "ready" and page["job"]["attempt"] == 0
    notes = [(note["actor"], note["verb"], note["reason"]) for note in page["audit"]]
    assert notes[-1] == ("ann", "retry", "mended") and [verb for _, verb, _ in notes] == ["enqueue", "retry"]


def test_all_that_a_filter_finds_are_brought_back_and_no_others(shop: Shop) -> None:
    shop.dead(3)
    shop.enqueue("charge", "order_id=-1")
    shop.run_all()
    dry = shop("dead", "retry", "--error", "TimeoutError", "--dry-run")
    assert dry.code == 0
    assert dry.out == "Would retry 3 dead jobs with 'TimeoutError' in their error.\n"
    assert "Nothing was changed." in dry.err and len(ids(shop)) == 4
    done = shop("dead", "retry", "--error", "TimeoutError", "--yes")
    assert (done.code, done.out) == (0, "3 of 3 dead jobs retried.\n")
    assert len(ids(shop)) == 1
    assert shop("dead", "retry", "--all", "--yes").out == "1 of 1 dead job retried.\n"
    nothing = shop("dead", "retry", "--all", "--yes")
    assert (nothing.code, nothing.out) == (0, "") and "No dead jobs: nothing to do." in nothing.err


def test_a_limit_takes_the_youngest(shop: Shop) -> None:
    shop.dead(3)
    before = ids(shop)
    assert shop("dead", "retry", "--all", "--limit", "2", "--yes").out == "2 of 2 dead jobs retried.\n"
    assert ids(shop) == before[2:]


def held(shop: Shop) -> str:
    """A dead job whose duty another job holds now."""
    id = shop.enqueue("charge", "order_id=-1")
    shop.run_all()
    assert shop.enqueue("charge", "order_id=-1") != id
    return id


def test_a_job_whose_duty_is_taken_is_refused_and_named(shop: Shop) -> None:
    dead = shop.dead(2)
    id = held(shop)
    dry = shop("dead", "retry", "--all", "--dry-run").out
    assert "Would retry 2 dead jobs; 1 would be refused." in dry and f"would refuse {id}: DE503" in dry
    done = shop("dead", "retry", "--all", "--yes")
    assert done.code == 6
    assert f"refused {id}: DE503" in done.out and "2 of 3 dead jobs retried, 1 refused." in done.out
    assert ids(shop) == [id]
    assert all(shop("job", "show", one, "--json").document["job"]["state"] == "ready" for one in dead)

    alone = shop("dead", "retry", id)
    assert alone.code == 5 and alone.err.startswith("DE503 ") and alone.out == ""
    both = shop("dead", "retry", id, dead[0], "--json")
    assert both.code == 5  # none was done
    document = both.document
    assert (document["matched"], document["retried"], document["left"]) == (2, 0, 0)
    assert [refusal["code"] for refusal in document["refused"]] == ["DE503", "DE502"]


def test_a_rehearsal_of_named_jobs_tells_those_that_are_not_dead(shop: Shop) -> None:
    [id] = shop.dead(1)
    ready = shop.enqueue("mail", "to=ann")
    dry = shop("dead", "retry", id, ready, "--dry-run").out
    assert "Would retry 1 dead job; 1 would be refused." in dry and f"would refuse {ready}: DE502" in dry


@pytest.mark.parametrize(
    "args",
    [
        ["dead", "retry", "--task", "mail"],
        ["dead", "retry", "--task", "mail", "--json"],
    ],
)
def test_where_nobody_can_answer_the_flag_is_named(shop: Shop, args: list[str]) -> None:
    shop.dead(2)
    refused = shop(*args)
    assert refused.code == 5
    assert "Retry 2 dead jobs of mail?" in refused.err and "--yes" in refused.err
    assert len(ids(shop)) == 2


def test_more_than_a_hundred_need_a_reason(small_shop: Shop) -> None:
    shop = small_shop
    app = shop.app
    app.enqueue_many(app.find_task("mail"), [("boom",)] * 101)
    shop.run_all()
    refused = shop("dead", "retry", "--all", "--yes")
    assert refused.code == 5 and "--reason TEXT" in refused.err
    assert (
        shop("dead", "retry", "--all", "--yes", "--reason", "mended").out == "101 of 101 dead jobs retried.\n"
    )


@pytest.mark.parametrize(
    ("args", "says"),
    [
        ([], "Which?"),
        (["0198f3c1-0000-7000-8000-000000000000", "--all"], "not both"),
        (["nonsense"], "'nonsense' is no job id"),
        (["--older-than", "soon", "--yes"], "DE103"),
    ],
)
def test_a_call_that_names_no_jobs_is_not_understood(small_shop: Shop, args: list[str], says: str) -> None:
    refused = small_shop("dead", "retry", *args)
    assert refused.code == 2 and says in refused.err


def test_an_id_that_is_not_there(shop: Shop) -> None:
    shop("migrate")
    missing = "0198f3c1-0000-7000-8000-000000000000"
    for args in (["dead", "retry", missing], ["dead", "show", missing], ["job", "why", missing]):
        answer = shop(*args)
        assert answer.code == 1 and answer.err.startswith("DE501 ")
