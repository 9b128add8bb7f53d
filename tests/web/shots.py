"""Pictures of every screen, to be looked at: ``./dev shots [FOLDER]``.

Empty, busy and broken; light and dark; 1280 and 360 pixels wide. The busy shop has jobs of all kinds, the
broken one a store that is not there. Says which screens would scroll sideways, and what a browser
complains of.
"""

from __future__ import annotations

import argparse
import logging
import tempfile
from pathlib import Path
from typing import Any

import dutiful
from devtools.needs import CHROMIUM
from dutiful.model.operators import Operator
from dutiful.web.pages import build
from dutiful.web.routes import SCREENS
from dutiful.web.site import Site
from tests.web import shop
from tests.web.browser import FLAGS, Serving

WIDTHS = (1280, 360)
THEMES = ("light", "dark")
NAMED = {"queue": "mail", "one_reconcile": "receipts"}
ANN = Operator("ann@example.com", "Ann", "admin", how="web")


def paths(ids: dict[str, str]) -> dict[str, str]:
    """Every screen of the router, and what else there is to see."""
    found = {}
    for screen in SCREENS:
        named = screen.path.replace("{name}", NAMED.get(screen.name, "report:nightly"))
        named = named.replace("{name:path}", "shop.charge")
        if "{id}" in named:
            if not ids:
                continue
            named = named.replace("{id}", ids["bulk" if screen.name == "one_bulk" else "secret"])
        if not ids and "{name" in screen.path:
            continue
        found[screen.name] = named
    if ids:
        found |= {
            "group": f"/dead?fp={ids['group']}",
            "job-doubt": f"/jobs/{ids['doubt']}",
            "job-waiting": f"/jobs/{ids['waiting']}",
            "reconcile-stopped": "/reconcile/refunds",
            "reconcile-broken": "/reconcile/invoices",
            "reconcile-never": "/reconcile/shipments",
            "ask-approve": "/reconcile/refunds/approve",
            "tasks-runs": "/tasks?runs=1",
            "ask-waive": "/checklist/waive?task=shop.charge&line=late",
            "ask-retry": f"/jobs/{ids['secret']}/retry",
            "ask-retry-all": "/dead/retry?task=shop.send_receipt",
            "not-found": "/jobs/00000000-0000-7000-8000-000000000000",
        }
    return found


def busy(folder: Path) -> tuple[Any, dict[str, str]]:
    app = shop.make(f"sqlite:///{folder / 'busy.db'}")
    ids = shop.furnish(app, shop.fill(app, 60))
    site = Site(app, authorize=lambda request: ANN, environment="production")
    return site, paths(ids)


def empty(folder: Path) -> tuple[Any, dict[str, str]]:
    app = dutiful.App("shop", f"sqlite:///{folder / 'empty.db'}")
    app.migrate()
    return Site(app, authorize=lambda request: ANN, environment="staging", colour="amber"), paths({})


def broken(folder: Path) -> tuple[Any, dict[str, str]]:
    app = dutiful.App("shop", f"sqlite:///{folder / 'not-there.db'}")
    site = Site(app, authorize=lambda request: ANN, environment="production")
    return site, {name: path for name, path in paths({}).items() if name in ("home", "dead", "queues")}


def main() -> int:
    """Take them; the exit code is 1 if a screen would scroll sideways or a browser complained."""
    parser = argparse.ArgumentParser(prog="./dev shots", description=__doc__)
    parser.add_argument("folder", nargs="?", type=Path, help="where to (default: a new one)")
    folder: Path = parser.parse_args().folder or Path(tempfile.mkdtemp(prefix="dutiful-shots-"))
    folder.mkdir(parents=True, exist_ok=True)
    logging.disable(logging.CRITICAL)
    program = CHROMIUM.here()
    if program is None:
        print("no Chromium was found: apt-get install chromium")
        return 2
    from playwright.sync_api import sync_playwright

    wrong = 0
    with tempfile.TemporaryDirectory() as stores, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(program), args=FLAGS)
        for make in (busy, empty, broken):
            site, places = make(Path(stores))
            with Serving(build(site)) as serving:
                for theme in THEMES:
                    for width in WIDTHS:
                        wrong += take(browser, serving.address, folder, make.__name__, places, theme, width)
            site.close()
        browser.close()
    print(f"{len(list(folder.glob('*.png')))} pictures in {folder}")
    return 1 if wrong else 0


def take(
    browser: Any, address: str, folder: Path, state: str, places: dict[str, str], theme: str, width: int
) -> int:
    """One state in one theme and width; returns how many faults were seen."""
    faults: list[str] = []
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=theme)
    tab = context.new_page()
    tab.on("pageerror", lambda error: faults.append(str(error)))
    tab.on("console", lambda said: "CSP" in said.text and faults.append(said.text))
    for name, path in places.items():
        tab.goto(address + path)
        tab.wait_for_timeout(150)
        over = tab.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        if over > 0:
            faults.append(f"{name} at {width}: {over} pixels too wide")
        tab.screenshot(path=str(folder / f"{state}-{name}-{theme}-{width}.png"), full_page=width < 1000)
    context.close()
    for fault in faults:
        print(f"{state} {theme}: {fault}")
    return len(faults)


if __name__ == "__main__":
    raise SystemExit(main())
