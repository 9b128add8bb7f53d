"""The page as one Starlette app: its router is made from the tables of screens and verbs."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable

import msgspec
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response, StreamingResponse
from starlette.routing import Route

from ..model import errors
from ..model.ids import parse_id
from ..model.ops_errors import ReadOnly
from ..operations import inspect, page_reads, registry
from ..supervise import prometheus
from ..supervise.verdict import document as verdict_document
from . import answers, assets, guard, rendering
from .answers import FRAGMENT, admit, ask_of, demand, offload, plain, refusal, told, trouble
from .asking import Ask
from .dialogs import Dialog, Verb
from .entrance import COOKIE, SESSION_S, OneTimeToken, PasswordFile, Visit
from .guard import Refused
from .live import Kept, Ticker
from .routes import SCREENS, Screen
from .screens import charts
from .site import Site
from .verbs import VERBS

logger = logging.getLogger("dutiful.web")

Entrance = OneTimeToken | PasswordFile | None
FAULT = "It is told in the log of the process that serves this page."
Answer = Callable[[Request, Ask], Response]
Endpoint = Callable[[Request], Awaitable[Response]]


def build(site: Site, entrance: Entrance = None) -> Starlette:
    """The app. ``entrance`` adds signing in and out, for where the page stands alone."""
    routes: list[Route] = []
    ticker = Ticker(site)
    kept = Kept(ticker)
    for screen in SCREENS:
        routes.append(
            Route(screen.path, _screen(site, screen, kept), name=screen.name, methods=["GET", "HEAD"])
        )
        twin = "/home.json" if screen.path == "/" else f"{screen.path}.json"
        routes.insert(
            0, Route(twin, _twin(site, screen), name=f"{screen.name}.json", methods=["GET", "HEAD"])
        )
    for verb in VERBS:
        routes.append(Route(verb.path, _dialog(site, verb), name=f"{verb.name}.ask", methods=["GET", "HEAD"]))
        routes.append(Route(verb.path, _act(site, verb), name=verb.name, methods=["POST"]))
    routes.append(Route("/jobs/{id}/args", _download(site), name="args", methods=["GET", "HEAD"]))
    routes.append(Route("/metrics", _metrics(site), name="metrics", methods=["GET", "HEAD"]))
    routes.append(Route("/charts.csv", _csv(site), name="charts.csv", methods=["GET", "HEAD"]))
    routes.append(Route("/verdict.json", _verdict(site), name="verdict", methods=["GET", "HEAD"]))
    routes.append(Route("/find", _find(site), name="find", methods=["GET", "HEAD"]))
    routes.append(Route("/pulse", _pulse(site, ticker), name="pulse", methods=["GET", "HEAD"]))
    routes.append(Route("/live", _live(site, ticker), name="live", methods=["GET"]))
    routes.append(Route("/static/{mark}/{name:path}", _static, name="static", methods=["GET", "HEAD"]))
    if entrance is not None:
        routes.append(
            Route("/sign-in", _sign_in(site, entrance), name="sign-in", methods=["GET", "HEAD", "POST"])
        )
        routes.append(Route("/sign-out", _sign_out(site, entrance), name="sign-out", methods=["POST"]))
    app = Starlette(routes=routes, exception_handlers={404: _nothing(site), 405: _nothing(site)})
    app.state.site = site
    app.state.ticker = ticker
    return app


def _guarded(site: Site, needs: str, wide: bool, answer: Answer) -> Endpoint:
    """An endpoint: who is it, may they; then ``answer(request, ask)`` on a thread."""

    async def endpoint(request: Request) -> Response:
        try:
            operator = await admit(site, request)
            ask = await ask_of(site, request, operator)
        except Refused as refused:
            return refusal(request, refused, site)

        def work() -> Response:
            try:
                demand(operator, needs, wide=wide)
                found: Response = answer(request, ask)
            except Refused as refused:
                return refusal(request, refused, site)
            except errors.DutifulError as error:
                return trouble(request, error, ask)
            except (
                Exception
            ):  # ours: whoever looks on sees no traceback, which may hold what an argument held
                logger.exception("page_failed %s", request.url.path)
                return refusal(request, Refused(500, "This page has a fault", FAULT), site)
            return found

        return await offload(request, work)

    return endpoint


def key_of(ask: Ask, screen: Screen) -> object:
    """Whoever has the same key sees the same."""
    who = (frozenset(ask.operator.perms), ask.operator.queues, ask.operator.tasks)
    asked = tuple(sorted((name, tuple(values)) for name, values in ask.query.items()))
    return screen.name, ask.path, ask.root, asked, who


def _screen(site: Site, screen: Screen, kept: Kept) -> Endpoint:
    def answer(request: Request, ask: Ask) -> Response:
        mark = guard.nonce()
        fragment = FRAGMENT in request.headers
        model = kept.model(key_of(ask, screen), lambda: screen.view(ask)) if fragment else screen.view(ask)
        made = answers.show(ask, screen, model, mark, fragment=fragment)
        if FRAGMENT in request.headers and request.headers.get("if-none-match") == made.headers["etag"]:
            return Response(status_code=304, headers={"etag": made.headers["etag"]})
        return made

    return _guarded(site, screen.needs, not screen.narrow, answer)


def _twin(site: Site, screen: Screen) -> Endpoint:
    def answer(request: Request, ask: Ask) -> Response:
        ask.path = ask.path.removesuffix(".json")
        return plain(rendering.document(screen.name, screen.view(ask)), "application/json")

    return _guarded(site, screen.needs, not screen.narrow, answer)


def _dialog(site: Site, verb: Verb) -> Endpoint:
    def answer(request: Request, ask: Ask) -> Response:
        return _ask_first(request, ask, verb.dialog(ask))

    return _guarded(site, "view", False, answer)


def _ask_first(request: Request, ask: Ask, dialog: Dialog, status: int = 200) -> Response:
    mark = guard.nonce()
    context = answers.context_of(ask, None, mark) | {
        "model": dialog,
        "back": safe_back(ask, dialog.back),
        "layout": "bare.html" if FRAGMENT in request.headers else "layout.html",
    }
    text = rendering.html("dialog.html", context)
    return Response(text, status, guard.security_headers(mark), media_type="text/html")


def _act(site: Site, verb: Verb) -> Endpoint:
    def answer(request: Request, ask: Ask) -> Response:
        if site.readonly:  # asked once more by Ops, and once more by the store
            raise ReadOnly("This page was opened read-only: nothing was done.")
        said = verb.act(ask)
        if ask.shows is not None:
            return answers.reveal(request, ask, ask.shows)
        address = ask.lands or safe_back(ask, ask.said("back"))
        sign = "&" if "?" in address else "?"
        return RedirectResponse(f"{address}{sign}{told(site, said)}", 303, guard.security_headers("none"))

    return _guarded(site, verb.needs, False, answer)


def safe_back(ask: Ask, address: str) -> str:
    """Where to go after an action: an address of this page, never another site's."""
    inside = address.startswith(f"{ask.root}/") and not address.startswith("//")
    clean = not any(one in address for one in ("\\", "\n", "\r", "\0")) and len(address) < 2_000
    return address if inside and clean else ask.link("/")


def _download(site: Site) -> Endpoint:
    """A job's arguments whole, masked like everywhere."""
    from .screens.job import find

    def answer(request: Request, ask: Ask) -> Response:
        found = find(ask)
        demand(ask.operator, "view_args", wide=False)
        shown = site.redactor.document(found.task, found.args)
        return plain(shown.text.encode(), "application/json", name=f"{found.id}-args.json")

    return _guarded(site, "view_args", False, answer)


def _find(site: Site) -> Endpoint:
    """From the search field: a job's id, the name of a queue or a task, or the key of a job."""

    def answer(request: Request, ask: Ask) -> Response:
        wanted = (ask.text("q") or "").strip()
        return RedirectResponse(_place(ask, wanted), 303, guard.security_headers("none"))

    return _guarded(site, "view", False, answer)


def _place(ask: Ask, wanted: str) -> str:
    try:
        return ask.link(f"/jobs/{parse_id(wanted)}")
    except ValueError:
        pass
    if not wanted:
        return ask.link("/jobs")
    if wanted in {one.name for one in ask.run(inspect.queues(ask.site.name))}:
        return ask.link("/jobs", queue=wanted)
    if wanted in ask.site.tasks or wanted in {one.name for one in ask.run(registry.tasks(ask.site.name))}:
        return ask.link("/jobs", task=wanted)
    held = ask.run(page_reads.by_key(ask.site.name, wanted, 2))
    if len(held) == 1 and ask.may("view", held[0].queue, held[0].task):
        return ask.link(f"/jobs/{held[0].id}")
    return ask.link("/jobs", key=wanted)


def _verdict(site: Site) -> Endpoint:
    """The same object as on Home and in ``dutiful verdict --json``."""

    def answer(request: Request, ask: Ask) -> Response:
        fields = {"schema": "dutiful/verdict/1", **verdict_document(site.verdict())}
        return plain(msgspec.json.encode(fields), "application/json")

    return _guarded(site, "view", True, answer)


def _csv(site: Site) -> Endpoint:
    """The points of the metrics screen, for a spreadsheet."""

    def answer(request: Request, ask: Ask) -> Response:
        body = charts.as_csv(charts.charts(ask))
        return plain(body, "text/csv; charset=utf-8", name=f"{site.name}-points.csv")

    return _guarded(site, "view", True, answer)


def _metrics(site: Site) -> Endpoint:
    """The verdict for Prometheus."""

    def answer(request: Request, ask: Ask) -> Response:
        made = plain(prometheus.text(site.verdict()).encode(), "text/plain")
        made.headers["content-type"] = prometheus.CONTENT_TYPE
        return made

    return _guarded(site, "view", True, answer)


def _pulse(site: Site, ticker: Ticker) -> Endpoint:
    """For who cannot hold a stream: the pulse, with an ETag."""

    def answer(request: Request, ask: Ask) -> Response:
        version = ticker.version()
        made = plain(rendering.document("pulse", {"version": version}), "application/json")
        made.headers["etag"] = rendering.tag(version)
        if request.headers.get("if-none-match") == made.headers["etag"]:
            return Response(status_code=304, headers={"etag": made.headers["etag"]})
        return made

    return _guarded(site, "view", False, answer)


def _live(site: Site, ticker: Ticker) -> Endpoint:
    """The stream of hints."""

    async def endpoint(request: Request) -> Response:
        try:
            operator = await admit(site, request)
            ask = await ask_of(site, request, operator)
            if not operator.perms or ask.polls:
                raise Refused(404, "No stream here", "This page asks by itself: /pulse.")
        except Refused as refused:
            return refusal(request, refused, site)
        headers = guard.security_headers(guard.nonce()) | {"x-accel-buffering": "no"}
        return StreamingResponse(ticker.listen(), 200, headers, media_type="text/event-stream")

    return endpoint


async def _static(request: Request) -> Response:
    """Our own files; they are public, and never change under one address."""
    found = assets.assets().get(request.path_params["name"])
    if found is None or found.mark != request.path_params["mark"]:
        return Response("no such file", 404, media_type="text/plain")
    headers = {"cache-control": "public, max-age=31536000, immutable", "x-content-type-options": "nosniff"}
    return Response(found.body, 200, headers, media_type=found.kind)


def _nothing(site: Site) -> Callable[[Request, Exception], Awaitable[Response]]:
    async def answer(request: Request, error: Exception) -> Response:
        status = getattr(error, "status_code", 404)
        if status == 405:
            words = "This address is not for that."
        else:
            words = "There is no such page here."
        return refusal(request, Refused(status, "Nothing here", words), site)

    return answer


# ── where the page stands alone ─────────────────────────────────────────────────────────────


def visit_of(request: Request) -> Visit:
    """What an entrance needs to know of a request."""
    address = request.client.host if request.client is not None else ""
    return Visit(address, {name.lower(): value for name, value in request.headers.items()}, request.cookies)


def _sign_in(site: Site, entrance: OneTimeToken | PasswordFile) -> Endpoint:
    async def endpoint(request: Request) -> Response:
        try:
            guard.check_host(request.headers.get("host", ""), site.hosts)
            if isinstance(entrance, OneTimeToken):
                return _by_token(request, entrance)
            if request.method == "POST":
                guard_origin(request)
                form = await answers.read_form(request)
                name, word = (form.get("name") or ["admin"])[0], (form.get("password") or [""])[0]
                session = await offload(request, lambda: entrance.sign_in(name, word))
                if session is not None:
                    return _in(request, session)
                wrong = (
                    "Too many wrong passwords: wait half a minute."
                    if entrance.locked
                    else "That was not right."
                )
                return _ask_password(request, site, wrong)
            return _ask_password(request, site, "")
        except Refused as refused:
            return refusal(request, refused, site)

    return endpoint


def guard_origin(request: Request) -> None:
    """Signing in has no token yet; Origin or Sec-Fetch-Site must say that the form is ours."""
    guard.check_origin(request.headers)


def _by_token(request: Request, entrance: OneTimeToken) -> Response:
    session = entrance.use(request.query_params.get("token", ""))
    if session is None:
        raise Refused(
            403,
            "This link was used, or is wrong",
            "The address that was printed lets one browser in, once.",
            "Start the page again for a new one: dutiful web",
        )
    return _in(request, session)


def _in(request: Request, session: str) -> Response:
    root = request.scope.get("root_path", "").rstrip("/")
    answer = RedirectResponse(f"{root}/", 303, guard.security_headers("none"))
    secure = request.url.scheme == "https"
    answer.set_cookie(
        COOKIE, session, max_age=SESSION_S, path=root or "/", httponly=True, samesite="strict", secure=secure
    )
    return answer


def _ask_password(request: Request, site: Site, wrong: str) -> Response:
    mark = guard.nonce()
    root = request.scope.get("root_path", "").rstrip("/")
    text = rendering.html(
        "sign_in.html",
        {
            "wrong": wrong,
            "mark": mark,
            "root": root,
            "site": site,
            "asset": lambda name: f"{root}/{assets.address(name)}",
        },
    )
    return Response(text, 403 if wrong else 200, guard.security_headers(mark), media_type="text/html")


def _sign_out(site: Site, entrance: OneTimeToken | PasswordFile) -> Endpoint:
    def answer(request: Request, ask: Ask) -> Response:
        entrance.sessions.end(visit_of(request))
        away = RedirectResponse(f"{ask.root}/sign-in", 303, guard.security_headers("none"))
        away.delete_cookie(COOKIE, path=ask.root or "/")
        return away

    return _guarded(site, "view", False, answer)
