"""A1, A2, A3: everybody can use it: every screen of the router, every dialog, full, empty and broken.

On SQLite and on PostgreSQL.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import dutiful
from dutiful.operations import acks, inspect
from dutiful.testing import run_all
from dutiful.web.pages import build
from dutiful.web.routes import SCREENS
from dutiful.web.site import Site
from dutiful.web.verbs import VERBS
from tests.web import shop
from tests.web.browser import Serving, Watched, tab
from tests.web.conftest import ANN, empty_store

pytestmark = [pytest.mark.chromium, pytest.mark.timeout(900)]

AXE = (Path(__file__).parent / "vendor" / "axe.min.js").read_text("utf-8")
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]
COLOURS = ["color-contrast", "link-in-text-block"]
OVER = "document.documentElement.scrollWidth - document.documentElement.clientWidth"


@contextmanager
def serving(app: dutiful.App) -> Iterator[str]:
    site = Site(app, authorize=lambda request: ANN, environment="production")
    with Serving(build(site)) as served:
        yield served.address
    site.close()
    app.close()


@pytest.fixture(
    scope="module",
    params=[pytest.param("sqlite"), pytest.param("postgres", marks=pytest.mark.postgres)],
)
def furnished(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[dutiful.App, dict[str, str], str]]:
    """A shop with something on every screen."""
    with empty_store(request.param, request, tmp_path_factory) as url:
        app = shop.make(url)
        ids = shop.furnish(app, shop.fill(app))
        with serving(app) as address:
            yield app, ids, address


def place(path: str, ids: dict[str, str]) -> str:
    """An address of the router's, with something that is there."""
    if path.startswith("/bulk/{id}"):
        return path.replace("{id}", ids["bulk" if path.endswith("/undo") else "begun"])
    names = {
        "/queues": "mail",
        "/schedule": "report:nightly",
        "/locks": "deploy",
        "/alerts": "ops",
        "/reconcile": "receipts",
    }
    name = names.get("/" + path.split("/")[1], "shop.charge")
    if path.startswith("/reconcile/"):
        name = {"approve": "refunds", "resume": "photos"}.get(path.rsplit("/", 1)[1], name)
    job = "discarded" if path.endswith("/undo") else "doubt" if path.endswith(DOUBTFUL) else "secret"
    job = "waiting" if path.endswith("/cancel") else job
    path = path.replace("{id}", ids[job]).replace("{name:path}", name).replace("{name}", name)
    asks = {"/attention/ack": "thing", "/attention/take": "thing", "/dead/retry": "fp", "/dead/discard": "fp"}
    group = ids["group"]
    return f"{path}?{asks[path]}={'group:' if asks[path] == 'thing' else ''}{group}" if path in asks else path


DOUBTFUL = ("/confirm", "/resume", "/refute")


def violations(watched: Watched) -> list[str]:
    """What axe finds on the page as it is: all rules in light, and those of colours in dark as well."""
    found = []
    watched.page.evaluate(AXE)
    for theme, only in (
        ("light", {"type": "tag", "values": RULES}),
        ("dark", {"type": "rule", "values": COLOURS}),
    ):
        watched.page.emulate_media(color_scheme=theme)
        answer = watched.page.evaluate("only => axe.run(document, {runOnly: only})", only)
        found += [
            f"{theme} {watched.page.url}: {one['id']}: {one['nodes'][0]['html'][:120]}"
            for one in answer["violations"]
        ]
    return found


def too_wide(watched: Watched) -> list[str]:
    """At which widths it would scroll sideways; the last with twice the text."""
    found = []
    for width, text in ((320, "100%"), (360, "100%"), (640, "200%")):
        watched.page.set_viewport_size({"width": width, "height": 700})
        watched.page.evaluate(f"document.documentElement.style.fontSize = '{text}'")
        if (over := watched.page.evaluate(OVER)) > 0:
            found.append(f"{watched.page.url} at {width}, {text}: {over} pixels")
    watched.page.set_viewport_size({"width": 1280, "height": 800})
    watched.page.evaluate("document.documentElement.style.fontSize = ''")
    return found


def test_a1_a3_every_screen_is_well_in_light_and_dark_and_on_a_phone(browser: Any, furnished: Any) -> None:
    _, ids, address = furnished
    wrong = []
    with tab(browser, address) as watched:
        watched.expected = ("404",)
        paths = [place(screen.path, ids) for screen in SCREENS if screen.name != "one_bulk"]
        more = [f"/bulk/{ids['bulk']}", f"/dead?fp={ids['group']}", f"/jobs/{ids['doubt']}"]
        for path in [*paths, *more, "/jobs/none", "/nothing"]:
            watched.go(path)
            wrong += violations(watched) + too_wide(watched)
    assert wrong == []


def test_a1_a3_every_dialog_is_well_by_itself_and_in_front(browser: Any, furnished: Any) -> None:
    _, ids, address = furnished
    wrong = []
    with tab(browser, address) as watched:
        watched.expected = ("409",)
        for verb in VERBS:
            answer = watched.go(place(verb.path, ids))
            # Some can be asked of what they do not fit now: then it is an error that is looked at.
            assert answer.status in (200, 409), verb.path
            wrong += violations(watched) + too_wide(watched)
        watched.go("/dead/jobs")
        watched.page.click("text=Retry… >> nth=0")
        watched.page.wait_for_selector("dialog[open] input[name=reason]")
        wrong += violations(watched)
        watched.page.keyboard.press("Escape")
        watched.page.keyboard.press("?")
        watched.page.wait_for_selector("#help[open]")
        wrong += violations(watched)
    assert wrong == []


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def bare(request: pytest.FixtureRequest) -> tuple[str, str]:
    """A store without a job, and one that has no tables (or is not there)."""
    if request.param == "sqlite":
        url = request.getfixturevalue("sqlite_url")
        return url, url + ".none"
    empty = request.getfixturevalue("postgres_url")
    return empty, empty.rpartition("/")[0] + "/none"


def test_a1_empty_and_broken_are_well(browser: Any, bare: tuple[str, str]) -> None:
    wrong = []
    empty = dutiful.App("shop", bare[0])
    empty.engine.migrate()
    with serving(empty) as address, tab(browser, address) as watched:
        for path in [screen.path for screen in SCREENS if "{" not in screen.path]:
            assert watched.go(path).status == 200, path
            wrong += violations(watched)
    broken = dutiful.App("shop", bare[1])
    with serving(broken) as address, tab(browser, address) as watched:
        watched.expected = ("503",)
        for path in ("/", "/dead", "/alerts"):
            assert watched.go(path).status == 503, path
            wrong += violations(watched)
    assert wrong == []


def test_a1_a3_planted_faults_are_found(browser: Any, furnished: Any) -> None:
    with tab(browser, furnished[2]) as watched:
        watched.go("/queues")
        watched.page.evaluate("document.querySelector('#q').previousElementSibling.remove()")
        watched.page.evaluate("document.querySelector('#q').removeAttribute('placeholder')")
        watched.page.evaluate("document.querySelector('.top').style.minWidth = '700px'")
        assert violations(watched) != [] and len(too_wide(watched)) == 3


# ── A2, A3: the story by keyboard, without keys of one letter, without a script, on a phone ─


def dead(app: dutiful.App, order: int) -> str:
    job_id = app.tasks["shop.send_receipt"].enqueue(3 * order, "b@example.com").id
    run_all(app)
    return job_id


def ready(app: dutiful.App, *ids: str) -> bool:
    """Whether somebody brought them back."""
    return all(app.engine.run(inspect.job("shop", one)).state != "dead" for one in ids)


def test_a2_the_place_of_the_keyboard_outlives_what_comes_fresh(browser: Any, furnished: Any) -> None:
    app, _, address = furnished
    dead(app, 2101)
    dead(app, 2102)
    with tab(browser, address) as watched:
        watched.go("/dead/jobs")
        watched.page.evaluate(
            "window.fresh = 0; document.addEventListener('dutiful:fresh', () => { window.fresh += 1; })"
        )
        for _ in range(2):
            watched.page.keyboard.press("j")
        row = watched.page.get_attribute("tr.here", "id")
        dead(app, 2103)
        watched.page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
        watched.page.wait_for_function("window.fresh > 0")
        assert watched.page.get_attribute("tr.here", "id", timeout=5_000) == row
        watched.page.keyboard.press("x")
        assert watched.page.inner_text("#many") == "1 chosen below:"


def test_a2_the_story_by_keyboard_alone(browser: Any, furnished: Any) -> None:
    app, _, address = furnished
    one, other = dead(app, 2001), dead(app, 2002)
    with tab(browser, address) as watched:
        watched.go("/")
        keys = watched.page.keyboard
        keys.press("g")
        keys.press("d")
        watched.page.wait_for_url("**/dead")
        keys.press("j")
        keys.press("a")
        watched.page.wait_for_selector("dialog[open] input[name=note]")
        keys.type("the mail team knows")
        keys.press("Enter")
        watched.page.wait_for_selector(".said >> text=is seen")
        watched.go("/dead/jobs")
        keys.press("j")
        keys.press("r")
        watched.page.wait_for_selector("dialog[open] input[name=reason]")
        keys.type("mended")
        keys.press("Enter")
        watched.page.wait_for_selector(".said")
        assert ready(app, other) and not ready(app, one)
        # rows are chosen, and asked for together
        dead(app, 2003)
        watched.go("/dead/jobs")
        rows = watched.page.query_selector_all("tr[id^=r-]")[:2]
        chosen = [row.get_attribute("id").removeprefix("r-") for row in rows]
        keys.press("j")
        keys.press("x")
        keys.press("j")
        keys.press("x")
        assert watched.page.inner_text("#many") == "2 chosen below:"
        watched.page.focus("#chosen button")
        keys.press("Enter")
        watched.page.wait_for_selector("dialog[open] >> text=Retry 2 dead jobs?")
        keys.press("Enter")
        watched.page.wait_for_url("**/bulk/**")
        until(lambda: ready(app, *chosen))


def until(truth: Any, seconds: float = 60) -> None:
    import time

    deadline = time.monotonic() + seconds
    while not truth():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a2_with_keys_of_one_letter_switched_off(browser: Any, furnished: Any) -> None:
    app, _, address = furnished
    job_id = dead(app, 2010)
    with tab(browser, address) as watched:
        watched.go("/dead/jobs")
        keys = watched.page.keyboard
        keys.press("?")
        watched.page.wait_for_selector("#help[open]")
        watched.page.focus("#keys-on")
        keys.press("Space")
        keys.press("Escape")
        for key in ("j", "r", "g", "d"):
            keys.press(key)
        assert watched.page.query_selector("dialog[open]") is None and watched.page.url.endswith("/dead/jobs")
        watched.page.focus(f"#r-{job_id} [data-row]")
        for _ in range(4):  # Tab leads from a row's link to its buttons
            keys.press("Tab")
            if watched.page.evaluate("document.activeElement.textContent") == "Retry…":
                break
        keys.press("Enter")
        watched.page.wait_for_selector("dialog[open] input[name=reason]")
        keys.type("mended")
        keys.press("Enter")
        watched.page.wait_for_selector("text=is ready")
    assert ready(app, job_id)


def test_a2_without_a_script_list_open_retry_choose_and_acknowledge(browser: Any, furnished: Any) -> None:
    app, _, address = furnished
    job_id, one, other = dead(app, 2021), dead(app, 2022), dead(app, 2023)
    with tab(browser, address, java_script_enabled=False) as watched:
        watched.go("/dead/jobs")
        watched.page.click(f"#r-{job_id} [data-row]")
        watched.page.click(".bar >> text=Retry…")
        watched.page.fill("input[name=reason]", "mended")
        watched.page.click("form.ask button.main")
        assert "is ready" in watched.page.inner_text(".said")
        watched.go("/dead/jobs")
        watched.page.check(f"#c-{one}")
        watched.page.check(f"#c-{other}")
        watched.page.click("text=Retry chosen…")
        assert "Retry 2 dead jobs?" in watched.page.inner_text("form.ask h1")
        watched.page.click("form.ask button.main")
        assert "/bulk/" in watched.page.url
        watched.go(f"/find?q=receipt:{3 * 2021}")
        assert job_id in watched.page.inner_text("#job-id")
        watched.go("/reconcile")
        watched.page.click("text=receipts")
        watched.page.click(".numbers >> text=Surplus >> xpath=.. >> a")
        assert "receipt:78" in watched.page.inner_text("main") and "class=surplus" in watched.page.url
        watched.go("/dead")
        watched.page.click("text=Ack… >> nth=0")
        watched.page.fill("input[name=note]", "the mail team knows")
        watched.page.click("form.ask button.main")
        assert "is seen" in watched.page.inner_text(".said")
    until(lambda: ready(app, job_id, one, other))


def test_a3_acknowledged_from_a_phone_in_four_taps(browser: Any, furnished: Any) -> None:
    app, _, address = furnished
    phone = {"viewport": {"width": 360, "height": 700}, "has_touch": True}
    with tab(browser, address, **phone) as watched:
        watched.go("/dead?task=shop.charge")
        watched.page.tap("text=Ack… >> nth=0")
        watched.page.fill("dialog[open] input[name=note]", "on it from the train")
        watched.page.tap("dialog[open] button.main")
        watched.page.wait_for_selector(".said")
    assert "on it from the train" in {one.note for one in app.engine.run(acks.listed("shop"))}
