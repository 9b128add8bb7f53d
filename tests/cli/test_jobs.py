"""``dutiful job`` and ``dutiful enqueue``, on every store: what people see, and what programs read."""

from __future__ import annotations

import pytest

from dutiful.model.ids import make_id
from tests.cli.conftest import Shop


def test_an_enqueued_job_is_listed_shown_and_explained(shop: Shop) -> None:
    done = shop("enqueue", "charge", "order_id=42")
    assert done.code == 0
    id = done.out.strip()
    assert f"dutiful job show {id}" in done.err

    listed = shop("job", "list")
    assert listed.code == 0 and listed.err == ""
    [header, row] = listed.out.splitlines()
    assert header.split() == ["ID", "STATE", "TASK", "QUEUE", "WHEN", "ENQUEUED", "KEY", "ARGS"]
    assert row.startswith(f"{id}  waiting  charge") and '{"order_id":42}' in row and "UTC" in row

    page = shop("job", "show", id)
    assert page.out.splitlines()[0] == f"job {id}  charge  waiting"
    assert "charge:42" in page.out and '{"order_id":42}' in page.out

    why = shop("job", "why", id)
    assert why.code == 0
    assert why.out.startswith("waiting for ") and 'no live worker takes queue "default"' in why.out
    assert "Start one: dutiful worker -q default" in why.out


def test_a_finished_job_keeps_its_result_and_its_story(shop: Shop) -> None:
    id = shop.enqueue("mail", "to=ann")
    shop.run_all()
    page = shop("job", "show", id)
    assert "done" in page.out.splitlines()[0] and 'result\n  "sent to ann"' in page.out
    assert shop("job", "show", id, "--json").document["job"]["result"] == "sent to ann"
    assert shop("job", "why", id).out.startswith("done ")


def test_a_dead_job_shows_its_error_and_who_touched_it(shop: Shop) -> None:
    [id] = shop.dead(1)
    page = shop("job", "show", id).out
    assert f"job {id}  mail  dead (error)" in page
    assert "it raised an error that is never retried" in page
    assert "TimeoutError: no answer from boom" in page and "raise TimeoutError" in page
    assert shop("job", "why", id).out.startswith("dead: it died ")

    assert shop("job", "retry", id, "--reason", "mended", "--as", "ann").out == f"{id} is ready.\n"
    assert shop("job", "cancel", id, "--reason", "not wanted", "--as", "bob").out == f"{id} is cancelled.\n"
    page = shop("job", "show", id).out
    assert 'ann retry, dead → ready: "mended"' in page
    assert 'bob cancel, ready → cancelled: "not wanted"' in page
    notes = shop("job", "show", id, "--json").document["audit"]
    assert [(note["actor"], note["verb"]) for note in notes[1:]] == [("ann", "retry"), ("bob", "cancel")]
    assert notes[0]["verb"] == "enqueue" and notes[0]["after"] == "enqueued in mail"


def test_the_actor_is_user_at_host_by_default(shop: Shop) -> None:
    id = shop.enqueue("charge", "order_id=1")
    shop("job", "cancel", id)
    [_enqueued, note] = shop("job", "show", id, "--json").document["audit"]
    user, at, host = note["actor"].partition("@")
    assert user and at and host


def test_a_cancelled_duty_comes_back_with_its_arguments_known(shop: Shop) -> None:
    id = shop.enqueue("charge", "order_id=5")
    shop("job", "cancel", id)
    assert shop("job", "retry", id).code == 0
    again = shop("enqueue", "charge", "order_id=5")
    assert again.out.strip() == id and "Nothing new" in again.err


def test_a_list_is_filtered_and_paged(shop: Shop) -> None:
    ids = [shop.enqueue("charge", f"order_id={n}") for n in range(5)]
    other = shop.enqueue("mail", "to=ann")

    def listed(*args: str) -> list[str]:
        return [job["id"] for job in shop("job", "list", "--json", *args).document["jobs"]]

    assert listed("--task", "mail") == listed("--queue", "mail") == [other]
    assert listed("--state", "done") == []
    first = shop("job", "list", "--json", "--task", "charge", "--limit", "2").document
    assert [job["id"] for job in first["jobs"]] == ids[:2:-1] and first["next"] == ids[3]
    assert listed("--task", "charge", "--after", first["next"]) == ids[2::-1]
    last = shop("job", "list", "--json", "--task", "charge", "--limit", "5").document
    assert last["next"] is None
    assert f"--after {ids[3]}" in shop("job", "list", "--task", "charge", "--limit", "2").err


def test_long_arguments_are_cut_in_lists_and_whole_on_the_page(shop: Shop) -> None:
    text = "x" * 1000
    id = shop.enqueue("mail", f"to={text}")
    [line] = shop("job", "list", "--json").document["jobs"]
    assert len(line["args_text"]) == 200
    assert text in shop("job", "show", id).out
    assert shop("job", "show", id, "--json").document["job"]["args"] == {"to": text}


def test_what_would_move_the_cursor_is_spelt_out(shop: Shop) -> None:
    id = shop.enqueue("mail", "to=a\x1b[31mb\u202ec")
    for args in (("job", "list"), ("job", "show", id)):
        out = shop(*args).out
        assert "\x1b" not in out and "\u202e" not in out
        assert "u001b[31mb" in out or "x1b[31mb" in out


@pytest.mark.parametrize(
    ("args", "says"),
    [
        ((), 'No jobs of app "shop".'),
        (("--state", "dead"), 'No jobs in state dead of app "shop".'),
        (("--task", "chrage"), "The app declares no task 'chrage' (did you mean charge?)"),
        (("--queue", "mial"), "There is no queue 'mial'"),
    ],
)
def test_an_empty_list_says_where_it_looked(shop: Shop, args: tuple[str, ...], says: str) -> None:
    shop("migrate")
    empty = shop("job", "list", *args)
    assert empty.code == 0 and empty.out == "" and says in empty.err


@pytest.mark.parametrize(
    ("typed", "stored"),
    [
        (["order_id=42"], {"order_id": 42}),
        (["order_id=42", "cents=7"], {"order_id": 42, "cents": 7}),
        (["--args", '{"order_id": 42}'], {"order_id": 42}),
        (["--args", "[42, 7]"], {"order_id": 42, "cents": 7}),
    ],
)
def test_arguments_are_read_by_their_annotations(shop: Shop, typed: list[str], stored: object) -> None:
    id = shop("enqueue", "charge", *typed).out.strip()
    assert shop("job", "show", id, "--json").document["job"]["args"] == stored


@pytest.mark.parametrize(
    ("typed", "stored"),
    [
        (["to=42"], {"to": "42"}),
        (["to=a=b"], {"to": "a=b"}),
        (["to="], {"to": ""}),
        (["to=x", "at=2026-01-02T03:04:05Z"], {"to": "x", "at": "2026-01-02T03:04:05Z"}),
        (["to=x", "at=null"], {"to": "x", "at": None}),
        (["to=x", 'tags=["a","b"]'], {"to": "x", "tags": ["a", "b"]}),
    ],
)
def test_text_stays_text_where_text_is_wanted(small_shop: Shop, typed: list[str], stored: object) -> None:
    id = small_shop("enqueue", "mail", *typed).out.strip()
    assert small_shop("job", "show", id, "--json").document["job"]["args"] == stored


def test_options_of_an_enqueue_reach_the_job(shop: Shop) -> None:
    id = make_id()
    options = ["--queue", "slow", "--priority", "7", "--run-in", "1h", "--once", "mine", "--id", id]
    told = shop("enqueue", "charge", "order_id=1", *options, "--json").document
    assert told == {
        "schema": "dutiful/enqueue/1",
        "id": id,
        "duplicate": False,
        "app": "shop",
        "task": "charge",
        "queue": "slow",
        "state": "ready",
        "key": "mine",
    }
    job = shop("job", "show", id, "--json").document["job"]
    assert (job["priority"], job["shown"]) == (7, "scheduled")
    assert shop("enqueue", "charge", "order_id=1", *options, "--json").document["duplicate"] is True
    at = shop("enqueue", "mail", "to=x", "--run-at", "2100-01-01T00:00", "--utc").out.strip()
    assert shop("job", "show", at, "--json").document["job"]["run_at"] == "2100-01-01T00:00:00.000000Z"


def test_a_duty_known_with_other_arguments_is_refused_and_then_kept_or_replaced(shop: Shop) -> None:
    id = shop.enqueue("charge", "order_id=1", "cents=1")
    refused = shop("enqueue", "charge", "order_id=1", "cents=2")
    assert refused.code == 5 and refused.out == ""
    assert refused.err.startswith("DE203 ") and "--on-duplicate keep" in refused.err
    kept = shop("enqueue", "charge", "order_id=1", "cents=2", "--on-duplicate", "keep")
    assert kept.code == 0 and kept.out.strip() == id
    shop("enqueue", "charge", "order_id=1", "cents=2", "--on-duplicate", "replace")
    assert shop("job", "show", id, "--json").document["job"]["args"]["cents"] == 2


def test_a_duty_that_is_done_is_done_again_only_with_a_reason(shop: Shop) -> None:
    id = shop.enqueue("charge", "order_id=1")
    shop.run_all()
    known = shop("enqueue", "charge", "order_id=1")
    assert known.out.strip() == id and "(duty 'charge:1'), done " in known.err
    again = shop("enqueue", "charge", "order_id=1", "--again", "the customer asked").out.strip()
    assert again != id
    notes = {note["verb"]: note for note in shop("job", "show", again, "--json").document["audit"]}
    assert set(notes) == {"again", "enqueue"} and notes["again"]["reason"] == "the customer asked"


def test_a_jobs_effects_are_shown(shop: Shop) -> None:
    from dutiful import Run

    @shop.app.task(name="pay", once="pay:{n}", retry=0)
    def pay(n: int, *, run: Run = Run.given) -> None:
        run.effect("charge", do=lambda key: {"id": "ch_1"}, remembered="24h")
        run.effect("receipt", do=lambda key: 1 / n, remembered="24h")

    id = pay.enqueue(0).id
    shop.run_all()
    page = shop("job", "show", id)
    assert page.code == 0
    lines = page.out[page.out.index("effects") :].splitlines()
    assert lines[1].startswith("  charge  done by run 1, ") and lines[1].endswith("(1 call)")
    assert lines[2].strip().startswith("key ") and lines[3].strip() == '{"id":"ch_1"}'
    assert lines[4].startswith("  receipt  open: run 1 called at ") and "may be sent again until" in lines[4]
    assert lines[6].strip() == "ZeroDivisionError: division by zero"

    one, two = shop("job", "show", id, "--json").document["effects"]
    assert (one["name"], one["state"], one["settled_by"], one["result"]) == (
        "charge",
        "done",
        "run",
        {"id": "ch_1"},
    )
    assert (two["state"], two["calls"], two["remembered_s"], two["margin_s"]) == ("intended", 1, 86400, 8640)
    assert shop("job", "show", shop.enqueue("charge", "order_id=1"), "--json").document["effects"] == []
