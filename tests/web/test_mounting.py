"""M1: mounted below a prefix in FastAPI, Starlette, Django, Flask and plain WSGI, by the guide's own code."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

import pytest

import dutiful
import dutiful.web
from dutiful.model.operators import Operator
from dutiful.operations import inspect
from dutiful.testing import run_all
from dutiful.web.assets import NAMES
from dutiful.web.inline import Got
from tests.web import shop

PREFIX = "/ops/jobs"
ADMIN = "ann"


def who_by(header: str | None) -> Operator | None:
    return Operator(header, header, "operator", how="web") if header == ADMIN else None


@dataclass
class Mounted:
    """A host with the page in it: ``ask(method, path, body, as whom)``."""

    ask: Callable[[str, str, bytes, str], Got]
    app: dutiful.App

    def get(self, path: str, who: str = ADMIN) -> Got:
        return self.ask("GET", path, b"", who)

    def post(self, path: str, form: dict[str, str], who: str = ADMIN) -> Got:
        return self.ask("POST", path, urlencode(form).encode(), who)


def headers(who: str, body: bytes) -> list[tuple[str, str]]:
    found = [("host", "testserver"), ("sec-fetch-site", "same-origin"), ("x-who", who)]
    if body:
        found += [("content-type", "application/x-www-form-urlencoded"), ("content-length", str(len(body)))]
    return found


def by_asgi(host: Any) -> Callable[[str, str, bytes, str], Got]:
    def ask(method: str, path: str, body: bytes, who: str) -> Got:
        path, _, query = path.partition("?")
        parts: list[bytes] = []
        start: dict[str, Any] = {}
        sent = [{"type": "http.request", "body": body, "more_body": False}]

        async def receive() -> Any:
            if not sent:
                await asyncio.Event().wait()  # whoever asks stays on the line
            return sent.pop()

        async def send(message: Any) -> None:
            if message["type"] == "http.response.start":
                start.update(message)
            else:
                parts.append(message.get("body", b""))

        scope = {
            "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": method,
            "scheme": "http", "path": path, "raw_path": path.encode(),
            "root_path": "", "query_string": query.encode(),
            "headers": [(name.encode(), value.encode()) for name, value in headers(who, body)],
            "client": ("10.0.0.7", 1), "server": ("testserver", 80), "state": {},
        }  # fmt: skip
        asyncio.run(host(scope, receive, send))
        plain = [(name.decode(), value.decode()) for name, value in start["headers"]]
        return Got(start["status"], plain, b"".join(parts))

    return ask


def by_wsgi(host: Any, prefix: str = "") -> Callable[[str, str, bytes, str], Got]:
    def ask(method: str, path: str, body: bytes, who: str) -> Got:
        import io

        path, _, query = path.partition("?")
        environ = {
            "REQUEST_METHOD": method, "SCRIPT_NAME": prefix, "PATH_INFO": path.removeprefix(prefix),
            "QUERY_STRING": query, "SERVER_NAME": "testserver", "SERVER_PORT": "80",
            "REMOTE_ADDR": "10.0.0.7",
            "SERVER_PROTOCOL": "HTTP/1.1", "wsgi.input": io.BytesIO(body), "wsgi.url_scheme": "http",
            "wsgi.errors": io.StringIO(), "wsgi.version": (1, 0), "wsgi.multithread": True,
            "wsgi.multiprocess": False, "wsgi.run_once": False, "CONTENT_LENGTH": str(len(body)),
        }  # fmt: skip
        for name, value in headers(who, body):
            if name == "content-type":
                environ["CONTENT_TYPE"] = value
            elif name != "content-length":
                environ["HTTP_" + name.upper().replace("-", "_")] = value
        answer: list[Any] = []
        parts = host(environ, lambda status, found, exc=None: answer.extend([status, found]))
        whole = b"".join(parts)
        getattr(parts, "close", lambda: None)()
        return Got(int(answer[0].split()[0]), answer[1], whole)

    return ask


def starlette(app: dutiful.App) -> Any:
    from starlette.applications import Starlette
    from starlette.routing import Mount

    page = dutiful.web.asgi(app, authorize=lambda request: who_by(request.headers.get("x-who")))
    return by_asgi(Starlette(routes=[Mount(PREFIX, page)]))


def fastapi(app: dutiful.App) -> Any:
    from fastapi import FastAPI

    async def who(request: Any) -> Operator | None:
        return who_by(request.headers.get("x-who"))

    api = FastAPI()
    api.mount(PREFIX, dutiful.web.asgi(app, authorize=who))
    return by_asgi(api)


def plain_wsgi(app: dutiful.App) -> Any:
    return by_wsgi(dutiful.web.wsgi(app, authorize=lambda environ: who_by(environ.get("HTTP_X_WHO"))), PREFIX)


def flask(app: dutiful.App) -> Any:
    from flask import Flask

    host = Flask("host")
    page = dutiful.web.flask(app, authorize=lambda request: who_by(request.headers.get("x-who")))
    host.register_blueprint(page, url_prefix=PREFIX)
    return by_wsgi(host)


def _django(app: dutiful.App) -> None:
    import django
    from django.conf import settings
    from django.urls import clear_url_caches, include, path

    if not settings.configured:
        settings.configure(ALLOWED_HOSTS=["*"], SECRET_KEY="a test", USE_TZ=True)
        django.setup()
    import types

    page = dutiful.web.django(app, authorize=lambda request: who_by(request.headers.get("x-who")))
    urls = types.ModuleType("tests_web_urls")
    urls.urlpatterns = [path(f"{PREFIX[1:]}/", include(page))]  # type: ignore[attr-defined]
    settings.ROOT_URLCONF = urls
    settings.ALLOWED_HOSTS = ["*"]
    clear_url_caches()


def django_wsgi(app: dutiful.App) -> Any:
    _django(app)
    from django.core.handlers.wsgi import WSGIHandler

    return by_wsgi(WSGIHandler())


def django_asgi(app: dutiful.App) -> Any:
    _django(app)
    from django.core.handlers.asgi import ASGIHandler

    return by_asgi(ASGIHandler())


HOSTS = [starlette, fastapi, plain_wsgi, flask, django_wsgi, django_asgi]


@pytest.fixture(scope="module")
def stocked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[dutiful.App, dict[str, str]]]:
    app = shop.make(f"sqlite:///{tmp_path_factory.mktemp('mounted') / 'shop.db'}")
    yield app, shop.fill(app, 3)
    app.close()


@pytest.mark.parametrize("host", HOSTS, ids=lambda host: host.__name__)
def test_m1_the_whole_page_works_there(host: Any, stocked: tuple[dutiful.App, dict[str, str]]) -> None:
    app, _ = stocked
    there = Mounted(host(app), app)
    number = 3 * (10 + HOSTS.index(host))
    job_id = app.tasks["shop.send_receipt"].enqueue(number, "m1@example.com").id
    run_all(app)

    # the host's own idea of who it is decides
    assert there.get(f"{PREFIX}/dead/jobs", who="mallory").status == 403
    for path in (
        "/",
        "/dead",
        "/dead/jobs",
        "/jobs",
        f"/jobs/{job_id}",
        "/queues",
        "/workers",
        "/dead/jobs.json",
    ):
        got = there.get(PREFIX + path)
        assert got.status == 200 and got.body, path
    text = there.get(f"{PREFIX}/dead/jobs").body.decode()
    # every link and file stays below the prefix, and no file is empty
    for address in re.findall(r'(?:href|src|action)="(/[^"]*)"', text):
        assert address.startswith(f"{PREFIX}/"), address
    files = re.findall(rf'"({PREFIX}/static/[^"]+)"', text)
    assert len(files) >= 4 and len(files) <= len(NAMES)
    for address in files:
        got = there.get(address)
        assert got.status == 200 and len(got.body) > 100, address
    # a form does what it says, once, and comes back
    form = dict(
        re.findall(
            r'<input type="hidden" name="(\w+)" value="([^"]*)">',
            there.get(f"{PREFIX}/jobs/{job_id}/retry").body.decode(),
        )
    )
    got = there.post(f"{PREFIX}/jobs/{job_id}/retry", form | {"reason": "mended"})
    assert got.status == 303, got.body[:500]
    location = dict((name.lower(), value) for name, value in got.headers)["location"]
    assert location.startswith(f"{PREFIX}/jobs/{job_id}")
    assert "is ready" in there.get(location).body.decode()
    assert app.engine.run(inspect.job("shop", job_id)).state == "ready"
    # where nothing can stream, the page is told to ask
    live = "poll" if host in (plain_wsgi, flask, django_wsgi, django_asgi) else "stream"
    assert f'data-live="{live}"' in text
    assert there.get(f"{PREFIX}/pulse").status == 200
