"""D5, D6, J1, J2, D2: a button acts once and on what was seen; lists lose no row; odd jobs are shown."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

import dutiful
from dutiful.engines import reading
from dutiful.model.ids import make_id
from dutiful.model.jobs import NewJob
from dutiful.operations import audit, enqueue, inspect, metrics
from dutiful.operations.why import why
from tests.web.conftest import Page, Shop


def audits(shop: Shop, job_id: str) -> list[object]:
    return [row["verb"] for row in shop.app.engine.run(audit.of(job_id))]


def retry_form(page: Page, job_id: str) -> dict[str, str]:
    return page.fields(f"/jobs/{job_id}/retry") | {"reason": "mail host mended"}


def test_d5_sent_twice_it_is_done_once(page: Page, filled: Shop) -> None:
    job_id = filled.ids["receipt 3"]
    form = retry_form(page, job_id)
    first = page.post(f"/jobs/{job_id}/retry", form)
    again = page.post(f"/jobs/{job_id}/retry", form)
    assert (first.status, again.status) == (303, 303)
    assert dict(first.headers)["location"] == dict(again.headers)["location"]
    assert audits(filled, job_id) == ["retry"]
    said = page.get(dict(first.headers)["location"]).body.decode()
    assert f"job {job_id} is ready" in said


def test_d5_two_tabs_are_two_actions_and_the_second_finds_it_changed(page: Page, filled: Shop) -> None:
    job_id = filled.ids["receipt 6"]
    one, other = retry_form(page, job_id), retry_form(page, job_id)
    assert one["action_id"] != other["action_id"]
    assert page.post(f"/jobs/{job_id}/retry", one).status == 303
    late = page.post(f"/jobs/{job_id}/retry", other)
    assert (
        late.status == 409
        and "it is ready" in late.body.decode()
        and "nothing was done" in late.body.decode()
    )
    assert audits(filled, job_id) == ["retry"]


def test_d5_without_its_id_a_replay_is_noticed(page: Page, filled: Shop) -> None:
    job_id = filled.ids["receipt 9"]
    form = retry_form(page, job_id) | {"action_id": ""}
    statuses = [page.post(f"/jobs/{job_id}/retry", form).status for _ in range(2)]
    assert statuses == [303, 409]


def test_d6_changed_since_it_was_seen(page: Page, filled: Shop) -> None:
    job_id = filled.ids["receipt 12"]
    form = page.fields(f"/jobs/{job_id}/discard") | {"reason": "no need"}
    page.post(f"/jobs/{job_id}/retry", retry_form(page, job_id))
    got = page.post(f"/jobs/{job_id}/discard", form)
    assert got.status == 409 and "it changed since it was looked at; it is ready" in got.body.decode()
    assert audits(filled, job_id) == ["retry"]


def test_a_discard_is_undone(page: Page, filled: Shop) -> None:
    job_id = filled.ids["receipt 15"]
    form = page.fields(f"/jobs/{job_id}/discard")
    refused = page.post(f"/jobs/{job_id}/discard", form)
    assert refused.status == 422 and "reason" in refused.body.decode()
    assert page.post(f"/jobs/{job_id}/discard", form | {"reason": "customer left"}).status == 303
    assert filled.app.engine.run(inspect.job("shop", job_id)).outcome == "waived"
    undo = page.fields(f"/jobs/{job_id}/undo") | {"reason": ""}
    assert page.post(f"/jobs/{job_id}/undo", undo).status == 303
    job = filled.app.engine.run(inspect.job("shop", job_id))
    assert (job.state, job.key) == ("dead", "receipt:15")


def test_it_never_leads_to_another_site(page: Page, filled: Shop) -> None:
    job_id = filled.ids["receipt 18"]
    for back in ("https://evil.example/", "//evil.example", "/\\evil.example", "javascript:alert(1)", ""):
        form = retry_form(page, job_id) | {"back": back}
        got = page.post(f"/jobs/{job_id}/retry", form)
        if got.status == 303:
            place = dict(got.headers)["location"]
            assert place.startswith("/?said="), place
    # and what is said there is only what was said here
    forged = page.get("/?said=Transfer+done&sign=" + "0" * 32).body.decode()
    assert "Transfer done" not in forged


def pages_of(page: Page, path: str) -> list[list[str]]:
    found, seen = [], 0
    while path:
        got = json.loads(page.get(path.replace("?", ".json?", 1) if "?" in path else path + ".json").body)
        found.append([row["id"] for row in got["rows"]])
        path = got["next"]
        seen += 1
        assert seen < 200
    return found


def test_d2_paging_shows_each_row_once_while_others_die(filled: Shop, page: Page) -> None:
    ids = []
    for number in range(100, 190):
        ids.append(filled.app.tasks["shop.send_receipt"].enqueue(3 * number, f"d{number}@example.com").id)
    from dutiful.testing import run_all

    run_all(filled.app)
    tie_all(filled, ids)
    first = json.loads(page.get("/dead/jobs.json?limit=7&task=shop.send_receipt").body)
    seen = [row["id"] for row in first["rows"]]
    path = first["next"]
    for turn in range(200):
        if not path:
            break
        if turn < 3:
            filled.app.tasks["shop.send_receipt"].enqueue(3 * (500 + turn), "late@example.com")
            run_all(filled.app)
        got = json.loads(page.get("/dead/jobs.json?" + urlsplit(path).query).body)
        seen += [row["id"] for row in got["rows"]]
        path = got["next"]
    assert len(seen) == len(set(seen))
    assert set(ids) <= set(seen)
    assert parse_qs(urlsplit(first["next"]).query)["task"] == ["shop.send_receipt"]


def tie_all(filled: Shop, ids: list[str]) -> None:
    """All of them died in one microsecond."""
    from tests.contract.world import Eye

    eye = Eye(filled.app.engine)
    if filled.app.engine.name == "postgres":
        eye.sql("UPDATE dutiful.dead SET died_at = %s WHERE id = ANY(%s::uuid[])", 1_790_000_000_000_000, ids)
    else:
        for one in ids:
            eye.sql("UPDATE dutiful.dead SET died_at = %s WHERE id = %s", 1_790_000_000_000_000, one)
    eye.close()


ODD = {
    "a large number": ('{"n":9223372036854775808}', "9223372036854775808"),
    "an exponent": ('{"n":1.50e3}', "1.50e3"),
    "right to left, emoji, nul": ('{"t":"\\u202eabc \\u0000 🙂"}', "🙂"),
    "no JSON": ("{nothing", "redacted: formatter failed"),
    "large": ('{"blob":"' + "x" * 70_000 + '"}', "too large to be checked"),
}


@pytest.mark.parametrize("what", ODD)
def test_j1_odd_arguments_of_an_unknown_task_are_shown_and_discardable(
    filled: Shop, page: Page, what: str
) -> None:
    args, shown = ODD[what]
    job = NewJob(id=make_id(), task="shop.gone", queue="mail", priority=0, args=args.encode(), args_hash="h")
    filled.app.engine.run(enqueue.one("shop", job))
    began = time.process_time()
    text = page.get(f"/jobs/{job.id}").body.decode()
    assert time.process_time() - began < 1
    assert shown in text and "no task of this name" in text
    assert "shop.gone" in page.get("/jobs").body.decode()
    form = page.fields(f"/jobs/{job.id}/cancel") | {"reason": "gone"}
    assert page.post(f"/jobs/{job.id}/cancel", form).status == 303


def test_j2_the_page_says_why_it_is_not_running_as_the_command_does(filled: Shop, page: Page) -> None:
    for name in ("waiting", "secret", "receipt 1"):
        answer = filled.app.engine.run(why("shop", filled.ids[name]))
        found = json.loads(page.get(f"/jobs/{filled.ids[name]}.json").body)
        words = re.sub(r"\d+\w*", "#", found["why"])
        assert words == re.sub(r"\d+\w*", "#", answer.sentence)


def test_pages_and_their_twins_hold_the_same(filled: Shop, page: Page) -> None:
    rows = json.loads(page.get("/dead/jobs.json").body)["rows"]
    text = page.get("/dead/jobs").body.decode()
    assert rows and all(f'id="r-{row["id"]}"' in text for row in rows)
    verdict = json.loads(page.get("/verdict.json").body)
    home = page.get("/").body.decode()
    for name, number in verdict["numbers"].items():
        assert name.upper() in home and f"{number['amount']:,}" in home


def test_an_unchanged_fragment_is_not_sent_again(filled: Shop, page: Page) -> None:
    part = (("x-fragment", "1"), ("sec-fetch-site", "same-origin"))
    first = page.get("/dead/jobs", headers=part)
    tag = dict(first.headers)["etag"]
    assert b"<html" not in first.body
    assert page.get("/dead/jobs", headers=(*part, ("if-none-match", tag))).status == 304
    job_id = json.loads(page.get("/dead/jobs.json").body)["rows"][0]["id"]
    page.post(f"/jobs/{job_id}/retry", retry_form(page, job_id))
    time.sleep(1)  # a pulse is kept for so long
    assert page.get("/dead/jobs", headers=(*part, ("if-none-match", tag))).status == 200


def test_what_takes_too_long_is_said_to(filled: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = filled.app.engine
    if engine.name == "sqlite":
        monkeypatch.setattr(reading, "STEPS_BETWEEN", 1)
        got = filled.page(limit_s=-1.0).get("/jobs")
    else:
        other = engine.connect()
        try:
            other.execute("BEGIN")
            other.execute("LOCK TABLE dutiful.job IN ACCESS EXCLUSIVE MODE")
            got = filled.page(limit_s=0.2).get("/jobs")
        finally:
            other.close()
    assert got.status == 503 and "Too slow: narrow it" in got.body.decode()


def test_a_store_that_is_not_there_is_no_empty_list(tmp_path: Path) -> None:
    app = dutiful.App("shop", f"sqlite:///{tmp_path / 'none.db'}")
    page = Shop(app, {}).page()
    got = page.get("/dead")
    assert got.status == 503 and "There is no file" in got.body.decode()
    assert "Cannot say" in page.get("/").body.decode()


def test_a4_the_summary_the_table_and_the_csv_of_a_chart_are_one(filled: Shop) -> None:
    engine = filled.app.engine
    clock = engine.clock
    engine.clock = lambda: time.time_ns() // 1000 + 120_000_000  # two minutes on, the minutes are whole
    try:
        while engine.run(metrics.roll()):
            pass
        page = filled.page()
        found = json.loads(page.get("/charts.json?range=1h").body)
        text = page.get("/charts?range=1h").body.decode()
        lines = page.get("/charts.csv?range=1h").body.decode().splitlines()
    finally:
        engine.clock = clock
    done = sum(row["done"] for row in found["rows"])
    failed = sum(row["failed"] for row in found["rows"])
    assert done > 0 and f"{done:,} done, {failed:,} failed runs" in found["summary"]
    assert found["summary"] in text.replace("&#39;", "'")
    table = [int(one) for one in re.findall(r'data-done="(\d+)"', text)]
    assert table == [row["done"] for row in found["rows"]]
    assert [int(line.split(",")[1]) for line in lines[1:]] == table
