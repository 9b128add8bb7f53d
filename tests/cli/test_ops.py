"""``dead groups|ack|edit|discard|undo``, ``bulk`` and ``audit``: what people are told, and the codes."""

from __future__ import annotations

import re

import pytest

from dutiful.operations import groups
from tests.cli.conftest import Shop


def folded(shop: Shop) -> str:
    """The deaths are counted, as a worker does it; the fingerprint of the first cause."""
    shop.app.engine.run(groups.fold())
    return str(shop("dead", "groups", "--json").document["groups"][0]["fp"])


def state(shop: Shop, id: str) -> str:
    job = shop("job", "show", id, "--json").document["job"]
    return f"{job['state']}({job['outcome']})" if job["outcome"] else str(job["state"])


def test_causes_are_listed_acknowledged_and_unseen_again(shop: Shop) -> None:
    shop.dead(3)
    fp = folded(shop)
    [row] = shop("dead", "groups").out.splitlines()[1:]
    assert row.startswith(fp[:8]) and "TimeoutError: no answer from boom" in row and row.endswith("no")
    assert shop("dead", "ack", fp[:6]).code == 5  # a note is needed, and nobody is there to ask
    done = shop("dead", "ack", fp[:6], "--note", "the mail host", "--take", "--as", "ann")
    assert (done.code, done.out) == (0, "TimeoutError in mail is seen for 1d (3 jobs).\n")
    [group] = shop("dead", "groups", "--json").document["groups"]
    assert (group["seen"], group["acked_by"], group["owner"], group["jobs"]) == (True, "ann", "ann", 3)
    assert shop("dead", "groups", "--unseen").err == "Every cause has been seen.\n"
    assert "No dead jobs" in shop("dead", "list", "--unseen").err
    assert shop("dead", "ack", fp, "--withdraw").code == 0
    assert len(shop("dead", "list", "--unseen", "--fp", fp[:7], "--json").document["jobs"]) == 3
    assert shop("dead", "ack", "zzz", "--note", "n").code == 5
    assert shop("dead", "ack", fp, "--note", "n", "--until", "400d").code == 5


def test_discarded_in_bulk_and_taken_back(shop: Shop) -> None:
    ids = shop.dead(3)
    fp = folded(shop)
    assert shop("dead", "discard", "--fp", fp, "--yes").code == 5  # without a reason
    dry = shop("dead", "discard", "--fp", fp, "--dry-run")
    assert dry.out == f"Would discard 3 dead jobs of group {fp}.\n"
    done = shop("dead", "discard", "--fp", fp, "--reason", "void", "--yes", "--json").document
    assert (done["schema"], done["discarded"], done["left"]) == ("dutiful/dead.discard/1", 3, 0)
    assert {state(shop, one) for one in ids} == {"done(waived)"}
    assert shop("dead", "undo", ids[0]).out == f"{ids[0]} is dead.\n"
    partly = shop("dead", "undo", "--bulk", done["bulk"])
    assert partly.code == 6 and partly.out.startswith("2 of 3 are dead again, 1 left")
    assert {state(shop, one) for one in ids} == {"dead"}
    listed = shop("bulk", "list").out
    assert "discard" in listed and "undo" in listed
    shown = shop("bulk", "show", shop("bulk", "list", "--json").document["bulks"][0]["id"])
    assert (
        "2 done, 1 skipped." in shown.out and f"skipped {ids[0]}: it is not as it was discarded" in shown.out
    )
    assert shop("dead", "undo").code == 2
    assert shop("bulk", "show", "none").code == 1
    assert shop("bulk", "abort", done["bulk"]).code == 5


def test_the_rehearsal_says_what_each_would_come_to(shop: Shop) -> None:
    shop.dead(1)
    held = shop.enqueue("charge", "order_id=-1")
    shop.run_all()
    shop.enqueue("charge", "order_id=-1")
    out = shop("dead", "retry", "--all", "--dry-run").out
    assert "Would retry 1 dead job; 1 would be refused." in out
    assert re.search(
        r"1 safe · 0 done already · 0 need a choice · 1 refused \(job #, ready, holds its key\)", out
    )
    buckets = shop("dead", "retry", held, "--dry-run", "--json").document["buckets"]
    assert buckets == {"safe": 0, "done": 0, "choice": 0, "refused": 1}


def test_one_is_tried_first(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    from dutiful.cli import dead_bulk

    monkeypatch.setattr(dead_bulk, "TRIED_S", 0.2)
    ids = shop.dead(3)
    stopped = shop("dead", "retry", "--all", "--yes", "--try-one")
    assert stopped.code == 1 and "the one that was tried is ready; the others are as they were" in stopped.out
    assert sorted(state(shop, one) for one in ids) == ["dead", "dead", "ready"]


def test_edit_and_retry(shop: Shop) -> None:
    [id] = shop.dead(1)
    wrong = shop("dead", "edit", id, "at=yesterday")
    assert wrong.code == 5 and wrong.err.startswith("DE809 ") and " at " in wrong.err
    done = shop("dead", "edit", id, "to=ann", "--reason", "a typo")
    assert (done.code, done.out) == (0, f"{id} has new arguments, and is ready.\n")
    assert shop("job", "show", id, "--json").document["job"]["args"] == {"to": "ann"}
    charge = shop.enqueue("charge", "order_id=-1")
    shop.run_all()
    assert "another duty" in shop("dead", "edit", charge, "order_id=5").err
    assert shop("dead", "edit", charge).code == 2


def test_the_audit_is_listed_and_its_chain_verified(shop: Shop) -> None:
    [id] = shop.dead(1)
    shop("dead", "retry", id, "--reason", "mended", "--as", "ann")
    row, enqueued = shop("audit", "list", "--json").document["rows"]
    assert (row["actor"], row["verb"], row["how"], row["chain_no"]) == ("ann", "retry", "cli", 2)
    assert (enqueued["verb"], enqueued["subject"], enqueued["chain_no"]) == ("enqueue", id, 1)
    assert "mended" in shop("audit", "list").out
    fine = shop("audit", "verify")
    assert fine.code == 0 and fine.out.startswith("2 rows, none changed or removed.\n")
    noted = fine.out.rpartition("--noted: ")[2].strip()
    assert shop("audit", "verify", "--noted", noted).code == 0
    assert shop("audit", "verify", "--noted", "1:0000").code == 1
    from tests.contract.stores import opened, write

    with opened(shop.url) as engine:
        write(engine, "UPDATE dutiful.audit SET actor = 'bob' WHERE verb = 'retry'")
    named = shop("audit", "verify")
    assert named.code == 1
    assert (
        named.out == f"place 2 (audit row {row['id']}): retry of {id} by bob: changed after it was written\n"
    )
