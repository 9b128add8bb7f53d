"""The checklist on the page: cells are the store's facts; a line is waived and opened again, both audited."""

from __future__ import annotations

import html
import json
import re
from typing import Any

import pytest

from dutiful.model.operators import Operator
from dutiful.operations import audit, drills, registry, waivers
from dutiful.web.pages import build
from dutiful.web.screens.checklist import codes_of
from dutiful.web.site import Site
from tests.web import shop
from tests.web.conftest import Page, Shop

TASK = "shop.resize"


WHY = '<b hx-get="/x">late</b>, and so be it'


@pytest.fixture
def page(filled: Shop) -> Page:
    """The shop's page, with drills of each outcome and one waiver."""
    if not filled.app.engine.run(drills.of(filled.app.name)):
        shop.declare(filled.app)
        shop.checked(filled.app)
    return filled.page()


def cells(page: Page, task: str = TASK) -> dict[str, Any]:
    told = json.loads(page.get("/tasks.json").body)["checklist"]
    [row] = [one for one in told["rows"] if one["name"] == task]
    return {cell["line"]: cell for cell in row["cells"]}


def shown(page: Page, task: str) -> dict[str, str]:
    """What the page itself shows: the state by line, from the cells' own words."""
    text = page.get("/tasks").body.decode()
    row = text[text.index(f">{task}</a>") :]
    row = row[: row.index("</tr>")]
    found = re.findall(r'<a class="(\w+)" href="[^"]*#line-(\w+)"', row)
    return {line: state for state, line in found}


def test_h5_a_cell_is_what_the_store_knows_on_the_page_and_in_its_twin(page: Page) -> None:
    states = {line: cell["state"] for line, cell in cells(page).items()}
    assert states == shown(page, TASK)
    assert {line for line, state in states.items() if state == "drilled"} == {
        "idempotent", "locks", "transactions",
    }  # fmt: skip
    assert (states["outside"], states["retries"], states["supervised"]) == ("na", "declared", "missing")
    charge = shown(page, "shop.charge")
    assert (charge["idempotent"], charge["late"], charge["key"]) == ("missing", "waived", "observed")
    assert "could not be compared: Unseen I/O" in cells(page, "shop.report")["idempotent"]["words"]
    told = json.loads(page.get("/tasks.json").body)["checklist"]["sum"]
    assert (told["tasks"], told["waived"]) == (4, 1) and told["checks"] > 4


def test_a_task_says_why_what_to_do_and_its_drills(page: Page) -> None:
    text = page.get("/tasks/shop.charge?line=late").body.decode()
    assert '<tr id="line-late" class="here">' in text and "dutiful explain DU027" in text
    assert "after COMMIT #1 (shop/mail.py:41), rerun" in text and "dutiful explain DU007" in text
    assert "changed since" in text and "the same" in page.get(f"/tasks/{TASK}").body.decode()
    assert "It was never drilled" in page.get("/tasks/shop.send_receipt").body.decode()
    model = json.loads(page.get("/tasks/shop.charge.json").body)
    assert [one["changed"] for one in model["drills"]] == [True]
    assert len(model["lines"]) == 13


def test_drills_by_kind_of_scenario(page: Page) -> None:
    model = json.loads(page.get("/drills.json").body)
    assert [(one["drill"]["task"], one["drill"]["outcome"], one["changed"]) for one in model["rows"]] == [
        ("shop.charge", "findings", True),
        ("shop.report", "not comparable", True),
        ("shop.resize", "clean", False),
    ]
    played = {one["kind"]: (one["n"], one["failed"]) for one in model["rows"][0]["played"]}
    assert (played["X1"], played["X3"], played["X9"]) == ((3, 0), (7, 2), (0, 0))
    assert model["never"] == ["shop.send_receipt"] and model["never_more"] == 0
    text = page.get("/drills").body.decode()
    assert "✗ 2 of 7" in text and "✓ 9" in text and "Never drilled: shop.send_receipt." in text


def test_without_the_code_nothing_is_drilled_but_not_known(filled: Shop, page: Page) -> None:
    site = Site(None, engine=filled.app.engine, name=filled.app.name, authorize=lambda request: None)
    other = Page(build(site), site)
    assert codes_of(site) == {}
    assert cells(other)["idempotent"]["state"] == "unknown"
    assert "drilled" not in shown(other, TASK).values()
    assert "is of the code that runs is not known" in other.get("/tasks").body.decode()
    site.close()


def test_d5_s1_s3_a_line_is_waived_once_by_whoever_may_and_opened_again(filled: Shop, page: Page) -> None:
    run, name = filled.app.engine.run, filled.app.name
    path = f"/checklist/waive?task={TASK}&line=late"
    form = page.fields(path) | {"owner": "ann", "until": "30d", "reason": WHY}
    form |= {"task": TASK, "line": "late"}
    assert page.post(path, form, who=Operator("vi", "Vi", "viewer", how="web")).status == 403
    assert page.post(path, form | {"reason": ""}).status == 409
    assert page.post(path, form | {"until": "999d"}).status == 409
    assert shown(page, TASK)["late"] == "missing"
    for _ in range(2):  # a second click, or a reload, does nothing
        assert page.post(path, form).status == 303
    found = cells(page)["late"]
    assert found["state"] == "waived" and f"ann answers for it: {WHY}" in found["words"]
    assert WHY.encode() not in page.get("/tasks").body + page.get(f"/tasks/{TASK}").body
    [row] = run(audit.page(name, verb="waive_line", subject=f"task {TASK} line late"))
    assert (row.actor, row.how, row.reason) == ("ann", "web", WHY)
    assert "End waiver…" in page.get(f"/tasks/{TASK}").body.decode()

    path = f"/checklist/open?task={TASK}&line=late"
    form = page.fields(path) | {"reason": "decided"}
    assert page.post(path, form).status == 303
    assert shown(page, TASK)["late"] == "missing"
    assert [one.line for one in run(waivers.listed(name, TASK))] == []
    assert page.get(path).status == 409  # nothing to end


def test_d1_many_tasks_are_pages_of_bounded_size(filled: Shop, page: Page) -> None:
    said = {"once": "order:{order_id}", "retry": 3, "timeout_us": 90_000_000}
    many = [
        registry.Declared(
            f"shop.warehouse.tasks.number_{n:03}", 1, "q", 0, "warehouse", "at_least_once", said
        )
        for n in range(170)
    ]
    filled.app.engine.run(registry.register(filled.app.name, "2026.11.1", many))
    for path, row in (("/tasks", '<tr id="c-'), ("/tasks?runs=1", '<tr id="k-')):
        seen, pages = 0, 0
        while path:
            body = page.get(path).body.decode()
            assert len(body) <= 120 * 1024, (path, len(body))
            seen, pages = seen + body.count(row), pages + 1
            following = re.findall(r'href="([^"]*)" rel="next"', body)
            path = html.unescape(following[0]) if following else ""
        assert (seen, pages) == (174, 6 if row == '<tr id="c-' else 3)


def test_s1_who_may_only_look_sees_no_button(page: Page) -> None:
    page.who = Operator("vi", "Vi", "viewer", how="web")
    text = page.get("/tasks/shop.charge").body.decode()
    assert "Waive…" not in text and "End waiver…" not in text and "✗ missing" in text
