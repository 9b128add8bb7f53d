"""One shop on each engine for all tests of a module, and a way to ask its page without a network."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

import dutiful
from dutiful.model.operators import Operator
from dutiful.web.inline import WHO, Got, call
from dutiful.web.pages import build
from dutiful.web.site import Site
from tests.web import shop
from tests.web.browser import FLAGS, Serving

_names = itertools.count(1)
SAME = ("sec-fetch-site", "same-origin")
ANN = Operator("ann", "Ann", "admin", how="web")


@dataclass
class Shop:
    """An app with jobs of every kind, and its page."""

    app: dutiful.App
    ids: dict[str, str]
    settings: dict[str, Any] = field(default_factory=dict)

    def site(self, **settings: Any) -> Site:
        return Site(self.app, authorize=lambda request: None, **settings)

    def page(self, **settings: Any) -> Page:
        site = self.site(**settings)
        return Page(build(site), site)


@dataclass
class Page:
    """The page, asked in this very thread, as whom a test says."""

    asgi: Any
    site: Site
    who: Operator | None = field(default_factory=lambda: Operator("ann", "Ann", "admin", how="web"))

    def ask(
        self,
        path: str,
        *,
        method: str = "GET",
        form: dict[str, Any] | None = None,
        headers: tuple[tuple[str, str], ...] = (SAME,),
        who: Any = ...,
        root: str = "",
    ) -> Got:
        path, _, query = path.partition("?")
        given = {name.lower(): value for name, value in headers}
        given.setdefault("host", "page.example")
        if form is not None:
            given["content-type"] = "application/x-www-form-urlencoded"
        return call(
            self.asgi,
            method=method,
            root=root,
            path=root + path,
            query=query.encode(),
            headers=list(given.items()),
            body=b"" if form is None else urlencode(form).encode(),
            scheme="http",
            client="10.0.0.7",
            extra={WHO: self.who if who is ... else who},
        )

    def get(self, path: str, **more: Any) -> Got:
        return self.ask(path, **more)

    def post(self, path: str, form: dict[str, Any] | None = None, **more: Any) -> Got:
        return self.ask(path, method="POST", form=form or {}, **more)

    def fields(self, path: str) -> dict[str, str]:
        """The hidden fields of the form that a dialog shows."""
        import re

        text = self.get(path).body.decode()
        pairs = re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)">', text)
        return {name: value.replace("&amp;", "&") for name, value in pairs}


@pytest.fixture(
    scope="module",
    params=[pytest.param("sqlite"), pytest.param("postgres", marks=pytest.mark.postgres)],
)
def filled(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    """A shop with jobs in all states, shared by the tests of a module."""
    with empty_store(request.param, request, tmp_path_factory) as url:
        app = shop.make(url)
        yield Shop(app, shop.fill(app))
        app.close()


@contextmanager
def empty_store(
    engine: str, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """A database of its own on SQLite or PostgreSQL."""
    if engine == "sqlite":
        yield f"sqlite:///{tmp_path_factory.mktemp('shop') / 'shop.db'}"
        return
    server = request.getfixturevalue("pg_server")
    name = f"web_{os.getpid()}_{next(_names)}"
    yield server.create_database(name, template=request.getfixturevalue("migrated_template"))
    server.drop_database(name)


@pytest.fixture
def page(filled: Shop) -> Iterator[Page]:
    made = filled.page()
    yield made
    made.site.close()


@pytest.fixture(scope="module")
def browser(chromium: Path) -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=str(chromium), args=FLAGS)
        yield found
        found.close()


@pytest.fixture(scope="module")
def site(filled: Shop) -> Iterator[Site]:
    made = Site(filled.app, authorize=lambda request: ANN, environment="production")
    yield made
    made.close()


@pytest.fixture(scope="module")
def asgi(site: Site) -> Any:
    return build(site)


@pytest.fixture(scope="module")
def address(asgi: Any) -> Iterator[str]:
    with Serving(asgi) as serving:
        yield serving.address
