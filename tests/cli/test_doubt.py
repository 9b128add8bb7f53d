"""``dutiful doubt``: what is shown of a job that nobody knows the end of, and each decision about it."""

from __future__ import annotations

from dutiful import Run
from dutiful.model.effects import QUIET_US, Terms
from dutiful.model.jobs import Ending, Failure, Lane, Lease, NewWorker
from dutiful.operations import claims, effects, lanes, settle, starts, workers
from tests.cli.conftest import Shop


def declare(shop: Shop) -> None:
    """Two tasks that can leave doubts, beside those of the shop."""
    if "post" in shop.app.tasks:
        return

    @shop.app.task(name="post", delivery="at_most_once", once="post:{letter}")
    def post(letter: int) -> None: ...

    @shop.app.task(name="pay", once="pay:{order}")
    def pay(order: int, *, run: Run = Run.given) -> None: ...


def claimed(shop: Shop, task: str, pair: str) -> Lease:
    declare(shop)
    shop.enqueue(task, pair)
    run = shop.app.engine.run
    row = NewWorker("shop", "far.example", 1, 30_000_000, 1, "[]", "{}")
    me = run(workers.register(row))
    lane = [Lane(one.id) for one in run(lanes.lanes("shop"))]
    [lease] = run(claims.claim(me, lane, {task: 1}, 1)).leases
    return lease


def cut_off(shop: Shop, kind: str = "Killed", letter: int = 7) -> str:
    """A letter whose body was cut off."""
    lease = claimed(shop, "post", f"letter={letter}")
    assert shop.app.engine.run(starts.start("shop", lease)).what == "stored"
    end(shop, lease, "release", "the body was cut off: it was late", kind, started=True)
    return lease.job_id


def unanswered(shop: Shop, *names: str) -> str:
    """A payment whose calls have no known outcome."""
    lease = claimed(shop, "pay", "order=7")
    for name in names or ("stripe",):
        caller = effects.Caller("shop", "pay", "pay:7", name, f"key of {name}", lease.job_id, lease.token)
        shop.app.engine.run(effects.intend(caller, Terms.of(name), None))
        shop.app.engine.run(effects.end_call(caller, 1, "no answer", refused=False))
    end(shop, lease, "doubt", "effect 'stripe': a call has no known outcome", "EffectInDoubt")
    return lease.job_id


def end(shop: Shop, lease: Lease, verb: str, why: str, kind: str, started: bool = False) -> None:
    ending = Ending(
        verb,  # type: ignore[arg-type]
        lease.job_id,
        lease.token,
        lease.run_no,
        reason=why,
        failure=Failure(kind, why),
        started=started,
    )
    assert shop.app.engine.run(settle.settle([ending], 1)) == []
    shop.app.close()


def long_ago(shop: Shop) -> None:
    """Whatever is known of the runs was known long ago."""
    from tests.contract.world import Eye

    eye = Eye(shop.app.engine)
    eye.sql("UPDATE dutiful.failure SET failed_at = failed_at - %s", QUIET_US + 1_000_000)
    eye.sql("UPDATE dutiful.effect SET ended_at = ended_at - %s", QUIET_US + 1_000_000)
    eye.close()
    shop.app.close()


def state(shop: Shop, id: str) -> tuple[str, str | None]:
    job = shop("job", "show", id, "--json").document["job"]
    return job["state"], job["outcome"]


# ── looking ─────────────────────────────────────────────────────────────────────────────────


def test_no_doubts_is_an_answer(shop: Shop) -> None:
    shop("migrate")
    empty = shop("doubt", "list")
    assert (empty.code, empty.out, empty.err) == (0, "", 'No jobs in doubt in app "shop".\n')
    assert shop("doubt", "list", "--task", "post").err == "No (more) jobs in doubt of that kind.\n"


def test_they_are_listed_with_what_is_not_known(shop: Shop) -> None:
    first, last = cut_off(shop, letter=1), cut_off(shop, "CutOff", letter=2)
    header, *rows = shop("doubt", "list").out.splitlines()
    assert header.split() == ["ID", "SINCE", "TASK", "QUEUE", "DOUBT", "OLD", "RUN", "KEY", "ARGS"]
    assert [row[:36] for row in rows] == [last, first]
    assert "may live" in rows[0] and " dead " in rows[1]
    assert all("the body was cut off: it was late" in row for row in rows)
    page = shop("doubt", "list", "--json", "--limit", "1").document
    rest = shop("doubt", "list", "--json", "--after", page["next"]).document
    assert [one["id"] for one in (*page["doubts"], *rest["doubts"])] == [last, first]
    [one] = rest["doubts"]
    assert (one["missing"] != "", one["old_run"]["said"], one["args"]) == (True, "Killed", {"letter": 1})
    assert f"--after {page['next']}" in shop("doubt", "list", "--limit", "1").err
    assert shop("doubt", "list", "--after", "nonsense").code == 2


def test_one_is_shown_with_what_can_be_done(shop: Shop) -> None:
    id = cut_off(shop, "CutOff")
    shown = shop("doubt", "show", id)
    assert "far.example, which had run 1, lives, and may still be in it" in shown.out
    assert f"If it was done: dutiful doubt confirm {id}" in shown.err
    assert f"dutiful doubt refute {id} --accept-risk" in shown.err
    pay = unanswered(shop, "stripe", "mail")
    page = shop("doubt", "show", pay)
    assert "stripe  called once" in page.out and "key of stripe" in page.out
    assert f"dutiful doubt resume {pay} --effect" in page.err
    listed = shop("doubt", "show", pay, "--json").document["effects"]
    assert sorted((one["name"], one["calls"]) for one in listed) == [("mail", 1), ("stripe", 1)]
    ready = shop.enqueue("mail", "to=ann")
    assert shop("doubt", "show", ready).code == 5


def test_other_commands_say_that_it_is_in_doubt(shop: Shop) -> None:
    id = cut_off(shop)
    why = shop("job", "why", id).out
    assert why.startswith("in doubt: the body was cut off: it was late, just now; whether it was done")
    assert f"dutiful doubt show {id}" in why
    page = shop("job", "show", id)
    assert "in doubt" in page.out and "the body was cut off: it was late" in page.out
    document = shop("job", "show", id, "--json").document["job"]
    assert document["doubt"] == "the body was cut off: it was late" and document["in_doubt_at"] is not None
    [row] = shop("job", "list", "--state", "in_doubt").out.splitlines()[1:]
    assert "in doubt" in row and "began just now" in row
    [queue] = shop("queue", "list", "--json").document["queues"]
    assert (queue["in_doubt"], queue["running"]) == (1, 0)


# ── deciding ────────────────────────────────────────────────────────────────────────────────


def test_it_was_done(shop: Shop) -> None:
    id = cut_off(shop)
    done = shop(
        "doubt", "confirm", id, "--result", '{"seen": [1]}', "--reason", "it lies here", "--as", "ann"
    )
    assert (done.code, done.out) == (0, f"{id} is done.\n")
    page = shop("job", "show", id, "--json").document
    assert page["job"]["result"] == {"seen": [1]} and page["job"]["outcome"] == "performed"
    notes = [(one["actor"], one["verb"], one["reason"]) for one in page["audit"]]
    assert notes[-1] == ("ann", "confirm", "it lies here")
    assert [verb for _, verb, _ in notes] == ["enqueue", "confirm"]
    again = shop("doubt", "confirm", id)
    assert again.code == 5 and again.err.startswith("DE502 ")


def test_evidence_is_json(shop: Shop) -> None:
    id = cut_off(shop)
    bad = shop("doubt", "confirm", id, "--result", "seen it")
    assert bad.code == 2 and "is no JSON" in bad.err
    assert shop("doubt", "confirm", id, "--result", '"' + "x" * 70_000 + '"').code == 5
    assert state(shop, id) == ("in_doubt", None)


def test_a_finding_about_an_earlier_run_is_refused(shop: Shop) -> None:
    id = cut_off(shop)
    assert shop("doubt", "confirm", id, "--run", "2").code == 5
    assert shop("doubt", "confirm", id, "--run", "1").code == 0


def test_the_call_was_applied(shop: Shop) -> None:
    id = unanswered(shop)
    wrong = shop("doubt", "confirm", id)
    assert wrong.code == 5 and wrong.err.startswith("DE505 ") and f"dutiful doubt resume {id}" in wrong.err
    done = shop("doubt", "resume", id, "--result", '{"charge": "ch_1"}', "--json")
    assert done.document["state"] == "ready"


def test_surely_not_needs_proof_and_a_yes(shop: Shop) -> None:
    id = cut_off(shop)
    early = shop("doubt", "refute", id)
    assert early.code == 5 and early.err.startswith("DE504 ") and "on its way" in early.err
    long_ago(shop)
    assert "Nobody is there to answer" in shop("doubt", "refute", id).err
    done = shop("doubt", "refute", id, "--yes", "--json").document
    assert (done["state"], done["epoch"]) == ("ready", 2)


def test_the_risk_is_taken_by_name(shop: Shop) -> None:
    id = cut_off(shop, "CutOff")
    long_ago(shop)
    assert shop("doubt", "refute", id, "--yes").err.startswith("DE504 ")
    question = shop("doubt", "refute", id, "--accept-risk")
    assert question.code == 5 and "although its old run may still be at work" in question.err
    assert shop("doubt", "refute", id, "--accept-risk", "--yes").out == f"{id} is ready.\n"
    [_, noted] = shop("job", "show", id, "--json").document["audit"]
    assert "risk accepted" in noted["after"]


def test_a_refuted_effect_may_get_a_new_key(shop: Shop) -> None:
    id = unanswered(shop)
    long_ago(shop)
    assert shop("doubt", "refute", id, "--new-key", "--yes").code == 0
    [_, noted] = shop("job", "show", id, "--json").document["audit"]
    assert "stripe refused, new key " in noted["after"]


def test_it_is_given_up_and_that_is_taken_back(shop: Shop) -> None:
    id = cut_off(shop)
    refused = shop("doubt", "waive", id)
    assert refused.code == 5 and "--reason TEXT" in refused.err
    assert shop("doubt", "waive", id, "--reason", "told by phone").out == f"{id} is done (waived).\n"
    assert state(shop, id) == ("done", "waived")
    assert "given up by a person" in shop("job", "why", id).out
    assert shop("job", "unwaive", id).out == f"{id} is in doubt.\n"
    assert state(shop, id) == ("in_doubt", None)


def test_dead_jobs_are_given_up_one_or_many(shop: Shop) -> None:
    first, *others = shop.dead(3)
    assert shop("dead", "waive", first).code == 5
    assert shop("dead", "waive", first, "--reason", "void").out == "1 of 1 dead job waived.\n"
    dry = shop("dead", "waive", "--all", "--dry-run")
    assert dry.out == "Would waive 2 dead jobs.\n"
    done = shop("dead", "waive", "--all", "--reason", "void", "--yes", "--json").document
    assert (done["schema"], done["waived"], done["left"]) == ("dutiful/dead.waive/1", 2, 0)
    assert [state(shop, id) for id in (first, *others)] == [("done", "waived")] * 3
    assert shop("job", "show", first, "--json").document["job"]["reason"] == "error"
    assert shop("job", "unwaive", first).out == f"{first} is dead.\n"
