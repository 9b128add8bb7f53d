"""Where the page is mounted: ASGI, WSGI, Django, Flask. Each hands on the host's own idea of who it is."""

from __future__ import annotations

import inspect as python
from collections.abc import Callable, Iterable, Sequence
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from ..app.app import App
from ..model.operators import Operator
from ..model.page_errors import PageError, PageNotInstalled

if TYPE_CHECKING:
    from starlette.types import ASGIApp

    from .site import Rule, Site

Authorize = Callable[[Any], Any]
FORM_BYTES_MAX = 1_000_000


def dashboard(
    app: App,
    *,
    authorize: Authorize | None = None,
    readonly: bool = False,
    environment: str = "",
    colour: str = "",
    links: Sequence[tuple[str, str]] = (),
    hosts: Sequence[str] | None = None,
    redact: Rule | None = None,
) -> ASGIApp:
    """The page of ``app`` as an ASGI app.

    ``authorize(request)`` returns the :class:`Operator` who sends it, or None; it may be async. Without it
    everybody is shown how to give one, and nothing else. ``readonly`` shows no buttons and refuses their
    verbs. ``environment`` stands on every page, as "production"; ``colour`` is red, amber, green, blue or
    grey. ``links`` are (label, address) pairs on each job, ``{job}`` and ``{task}`` filled in. ``hosts`` are
    the names under which the page may be asked for (default: all; the host app sees to it). ``redact(task,
    path)`` says of a value in the arguments whether it is secret, None leaves it to the usual rules.
    Raises PageNotInstalled.
    """
    site = _site(
        app,
        authorize=authorize,
        readonly=readonly,
        environment=environment,
        colour=colour,
        links=links,
        hosts=hosts,
        redact=redact,
    )
    return _build(site)


asgi = dashboard
"""For ``api.mount("/ops/jobs", dutiful.web.asgi(app, authorize=who))``: FastAPI, Starlette, Litestar."""


def _site(app: App, **settings: Any) -> Site:
    try:
        from .site import Site
    except ImportError as error:
        raise _missing(error) from None
    return Site(app, **settings)


def _build(site: Site) -> ASGIApp:
    try:
        from .pages import build
    except ImportError as error:
        raise _missing(error) from None
    return build(site)


def _missing(error: ImportError) -> PageNotInstalled:
    return PageNotInstalled(f"The page needs {error.name}, which is not installed.")


# ── WSGI ────────────────────────────────────────────────────────────────────────────────────


def wsgi(app: App, *, authorize: Authorize | None = None, **settings: Any) -> Callable[..., Iterable[bytes]]:
    """The page as a WSGI app. ``authorize`` gets the environ; settings are those of :func:`dashboard`."""
    site = _site(app, authorize=None, **settings)
    page = _build(site)

    def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        extra = {} if authorize is None else _known(authorize(environ))
        return _answer(page, environ, start_response, extra)

    application.site = site  # type: ignore[attr-defined]
    return application


def _known(operator: Operator | None) -> dict[str, Any]:
    if python.isawaitable(operator):
        raise PageError("authorize= is async, and this page is mounted where nothing is awaited.")
    return {"dutiful.operator": operator}


def _answer(
    page: ASGIApp, environ: dict[str, Any], start_response: Callable[..., Any], extra: dict[str, Any]
) -> Iterable[bytes]:
    from .inline import call

    length = int(environ.get("CONTENT_LENGTH") or 0)
    if length > FORM_BYTES_MAX:
        start_response("413 Content Too Large", [("Content-Type", "text/plain")])
        return [b"A form has at most a megabyte."]
    headers = [
        (name[5:].replace("_", "-"), value) for name, value in environ.items() if name.startswith("HTTP_")
    ]
    if environ.get("CONTENT_TYPE"):
        headers.append(("content-type", environ["CONTENT_TYPE"]))
    root = _decoded(environ.get("SCRIPT_NAME", "")).rstrip("/")
    path = root + (_decoded(environ.get("PATH_INFO", "")) or "/")
    got = call(
        page,
        method=environ["REQUEST_METHOD"],
        root=root,
        path=path,
        query=environ.get("QUERY_STRING", "").encode("latin-1"),
        headers=headers,
        body=environ["wsgi.input"].read(length) if length else b"",
        scheme=environ.get("wsgi.url_scheme", "http"),
        client=environ.get("REMOTE_ADDR", ""),
        extra=extra,
    )
    start_response(f"{got.status} {_phrase(got.status)}", got.headers)
    return [b"" if environ["REQUEST_METHOD"] == "HEAD" else got.body]


def _decoded(text: str) -> str:
    """WSGI's idea of a path is bytes that look like Latin-1."""
    return text.encode("latin-1").decode("utf-8", "replace")


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Status"


# ── Flask ───────────────────────────────────────────────────────────────────────────────────


def flask(app: App, *, authorize: Authorize | None = None, name: str = "dutiful", **settings: Any) -> Any:
    """The page as a Flask blueprint; ``authorize`` gets Flask's request. ``name`` is the blueprint's."""
    from flask import Blueprint, request
    from werkzeug.wrappers import Response

    page = _build(_site(app, authorize=None, **settings))
    blueprint = Blueprint(name, __name__)

    def view(rest: str = "") -> Response:
        extra = {} if authorize is None else _known(authorize(request))
        environ = dict(request.environ)
        whole = environ.get("PATH_INFO", "")
        tail = "/" + whole[len(whole) - len(rest.encode("utf-8").decode("latin-1")) :] if rest else "/"
        head = whole[: len(whole) - len(tail) + 1].rstrip("/") if rest else whole.rstrip("/")
        environ["SCRIPT_NAME"] = environ.get("SCRIPT_NAME", "") + head
        environ["PATH_INFO"] = tail
        return Response.from_app(lambda e, s: _answer(page, e, s, extra), environ)

    methods = ["GET", "HEAD", "POST"]
    blueprint.add_url_rule("/", "page", view, methods=methods)
    blueprint.add_url_rule("/<path:rest>", "page", view, methods=methods)
    return blueprint


# ── Django ──────────────────────────────────────────────────────────────────────────────────


def django(app: App, *, authorize: Authorize | None = None, perm: str | None = None, **settings: Any) -> Any:
    """URL patterns for ``path("ops/jobs/", include(dutiful.web.django(app, perm="is_staff")))``.

    It runs inside Django's middleware and sessions. ``perm`` is an attribute of the user that must be true
    (``is_staff``, ``is_superuser``), or a permission as ``shop.run_jobs``; such a user may do all but see
    secrets. ``authorize`` gets Django's request instead. Without either the page is closed.
    """
    from django.http import HttpResponse
    from django.urls import re_path
    from django.views.decorators.csrf import csrf_exempt

    page = _build(_site(app, authorize=None, **settings))
    who = authorize if authorize is not None else None if perm is None else _by_perm(perm)

    def view(request: Any, rest: str = "") -> Any:
        from .inline import call

        extra = {} if who is None else _known(who(request))
        root = request.path[: len(request.path) - len(rest)].rstrip("/")
        got = call(
            page,
            method=request.method,
            root=root,
            path=f"{root}/{rest}",
            query=request.META.get("QUERY_STRING", "").encode("latin-1"),
            headers=list(request.headers.items()),
            body=request.body if request.method == "POST" else b"",
            scheme=request.scheme,
            client=request.META.get("REMOTE_ADDR", ""),
            extra=extra,
        )
        answer = HttpResponse(got.body, status=got.status)
        del answer["Content-Type"]
        for name, value in got.headers:
            if name.lower() == "set-cookie":
                answer.cookies.load(value)
            else:
                answer[name] = value
        return answer

    # The page checks where a form came from by itself, and stricter.
    return [re_path(r"^(?P<rest>.*)$", csrf_exempt(view), name="dutiful")]


def _by_perm(perm: str) -> Authorize:
    def who(request: Any) -> Operator | None:
        user = getattr(request, "user", None)
        if user is None or not user.is_authenticated or not user.is_active:
            return None
        allowed = user.has_perm(perm) if "." in perm else getattr(user, perm, False) is True
        if not allowed:
            return None
        return Operator(id=str(user.get_username()), name=str(user), perms="operator", how="web")

    return who
