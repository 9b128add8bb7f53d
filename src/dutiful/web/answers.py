"""From a request to an answer: who is it, may they, what do they see; errors become pages, too.

The order is the point: host, method, origin, person, permission, and only then the store is asked.
"""

from __future__ import annotations

import hmac
import inspect as python
import logging
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, TypeVar
from urllib.parse import parse_qs, quote, urlencode

from anyio.to_thread import run_sync
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from ..model import errors, ops_errors
from ..model.operators import Operator
from . import assets, guard, rendering
from .asking import Ask, Revealed
from .guard import Refused
from .routes import SCREENS, Screen
from .site import Site
from .verbs import LABELS, VERBS

logger = logging.getLogger("dutiful.web")

T = TypeVar("T")
FRAGMENT = "x-fragment"
WHO = "dutiful.operator"
"""In the scope of a request that a framework's adapter has asked about already."""
QUERY_FIELDS_MAX = 300
"""A list's page has at most 200 rows, each of which may be chosen."""
INLINE = "dutiful.inline"
"""In the scope of a request that has a thread of its own (WSGI, Django): nothing goes to another one."""

STATUS: tuple[tuple[type[errors.DutifulError], int], ...] = (
    (errors.JobNotFound, 404),
    (errors.QueueNotFound, 404),
    (ops_errors.BulkNotFound, 404),
    (ops_errors.NotAllowed, 403),
    (ops_errors.ReadOnly, 403),
    (errors.StoreReadOnly, 403),
    (ops_errors.ReasonNeeded, 422),
    (errors.StateError, 409),
    (ops_errors.OpsError, 409),
    (errors.DeclarationError, 422),
    (errors.TooSlow, 503),
    (errors.StoreError, 503),
)
ICONS = {"well": "%231d6b3c", "person": "%23b3261e", "unknown": "%23946200"}
TITLES = {
    403: "Not allowed",
    404: "Not found",
    409: "It has changed",
    422: "Something is missing",
    503: "Cannot say",
}


async def offload(request: Request, work: Callable[[], T]) -> T:
    """Do blocking work on a thread, unless this request has one of its own."""
    if request.scope.get(INLINE):
        return work()
    return await run_sync(work)


async def admit(site: Site, request: Request) -> Operator:
    """Check host, method and origin, and find out who it is. Raises Refused."""
    guard.check_host(request.headers.get("host", ""), site.hosts)
    guard.check_method(request.method)
    if WHO in request.scope:
        operator: Operator | None = request.scope[WHO]
    elif site.authorize is None:
        raise Refused(403, "This page is closed", CLOSED, FIX)
    else:
        found = site.authorize(request)
        operator = await found if python.isawaitable(found) else found
    if operator is None:
        raise Refused(403, "Not for you", "Nobody you are known as may see this page.", site.way_in)
    if request.client is not None and not operator.address:
        operator = replace(operator, address=request.client.host)
    return operator


SIGN_IN = "Sign in."
CLOSED = "It was mounted without saying who may see it, so nobody may."
FIX = """def who(request):
    return dutiful.web.Operator("ann", "Ann", dutiful.web.OPERATOR) if … else None

dutiful.web.asgi(app, authorize=who)"""


async def ask_of(site: Site, request: Request, operator: Operator) -> Ask:
    """The request as screens see it; a POST's form is read, at most a megabyte of it."""
    root = request.scope.get("root_path", "").rstrip("/")
    path = request.scope["path"]
    path = path[len(root) :] if root and path.startswith(root) else path
    form: Mapping[str, list[str]] = {}
    if request.method == "POST":
        form = await read_form(request)
        if not guard.check_origin(request.headers):
            site.tokens.check(operator.id, (form.get("token") or [""])[0])
    return Ask(
        site=site,
        operator=operator,
        root=root,
        path=path or "/",
        names=request.path_params,
        query=parse_qs(request.url.query, keep_blank_values=False, max_num_fields=QUERY_FIELDS_MAX),
        form=form,
        token=site.tokens.of(operator.id),
        theme=theme if (theme := request.cookies.get("dutiful_theme", "")) in ("light", "dark") else "",
        polls=bool(request.scope.get(INLINE)),
    )


async def read_form(request: Request) -> dict[str, list[str]]:
    """A form's fields; raises Refused for one that is too large, or no form."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip()
    if kind not in ("application/x-www-form-urlencoded", ""):
        raise Refused(415, "Not a form", "This page takes forms only.")
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > guard.FORM_BYTES_MAX:
            raise Refused(413, "Too large", "A form has at most a megabyte.")
    try:
        return parse_qs(body.decode(), keep_blank_values=True, max_num_fields=5_000)
    except (UnicodeDecodeError, ValueError):
        raise Refused(400, "Not a form", "What was sent cannot be read.") from None


def told(site: Site, said: str) -> str:
    """What was done, as a part of an address that nobody else can make."""
    words = said[:300]
    return urlencode({"said": words, "sign": site.tokens.of(f"said {words}")[:32]})


def what_was_said(ask: Ask) -> str:
    """What :func:`told` put into the address; nothing if it is not ours."""
    said, sign = ask.text("said") or "", ask.text("sign") or ""
    right = ask.site.tokens.of(f"said {said}")[:32]
    return said if said and hmac.compare_digest(right.encode(), sign.encode()) else ""


def demand(operator: Operator, permission: str, *, wide: bool) -> None:
    """Raise NotAllowed. ``wide``: what is shown is of all queues and tasks, whatever somebody is held to."""
    allowed = operator.may(permission, queue="*", task="*") if wide else permission in set(operator.perms)
    if not allowed:
        raise ops_errors.NotAllowed(
            operator.id, permission, "all queues and tasks" if wide and operator.scoped else ""
        )


# ── answers ─────────────────────────────────────────────────────────────────────────────────


def show(
    ask: Ask, screen: Screen, model: object, mark: str, *, fragment: bool, status: int = 200
) -> Response:
    """A screen as HTML; a fragment is what stands in the middle of it, and may be unchanged."""
    context = context_of(ask, screen, mark) | {
        "model": model,
        "layout": "fragment.html" if fragment else "layout.html",
    }
    text = rendering.html(f"{screen.template or screen.name}.html", context)
    told: dict[str, str] = {"x-now": str(getattr(model, "now_us", ""))}
    if fragment and (found := context["verdict"]) is not None:
        told |= {"x-verdict": quote(found.title), "x-headline": quote(found.headline[:400])}
    return _html(text, mark, status, told)


def reveal(request: Request, ask: Ask, shown: Revealed) -> Response:
    """What is shown once, in the answer to the form that asked for it."""
    mark = guard.nonce()
    fragment = FRAGMENT in request.headers
    context = context_of(ask, None, mark) | {
        "model": shown,
        "layout": "bare.html" if fragment else "layout.html",
    }
    return _html(rendering.html("revealed.html", context), mark)


def context_of(ask: Ask, screen: Screen | None, mark: str) -> dict[str, Any]:
    """What every template may use; the verdict only for who may see all that it rests on."""
    found = ask.site.verdict() if ask.may("view") else None
    groups: dict[str, list[Screen]] = {}
    for one in SCREENS:
        if one.group and (one.narrow or ask.may(one.needs)):
            groups.setdefault(one.group, []).append(one)
    return {
        "ask": ask,
        "site": ask.site,
        "screen": screen,
        "groups": groups,
        "mark": mark,
        "asset": lambda name: f"{ask.root}/{assets.address(name)}",
        "may": ask.may,
        "labels": LABELS,
        "verbs_known": {"ack": any(one.name == "ack" for one in VERBS)},
        "said": what_was_said(ask),
        "verdict": found,
        "icon": ICONS[found.state] if found is not None else ICONS["unknown"],
    }


def _html(text: str, mark: str, status: int = 200, more: Mapping[str, str] | None = None) -> Response:
    headers = (
        guard.security_headers(mark) | {"etag": rendering.tag(text.replace(mark, ""))} | dict(more or {})
    )
    return Response(text, status, headers, media_type="text/html")


def plain(body: bytes, kind: str, *, status: int = 200, name: str = "") -> Response:
    """Something that is no page: JSON, CSV, a download."""
    headers = guard.security_headers(guard.nonce())
    if name:
        headers["content-disposition"] = f'attachment; filename="{name}"'
    return Response(body, status, headers, media_type=kind)


def refusal(request: Request, refused: Refused, site: Site) -> Response:
    """Why somebody is not let in; in JSON for who asked for that."""
    if refused.hint == SIGN_IN and request.method in guard.SAFE_METHODS and not wants_json(request):
        root = request.scope.get("root_path", "").rstrip("/")
        return RedirectResponse(f"{root}/sign-in", 303, guard.security_headers("none"))
    if wants_json(request):
        body = {"error": refused.title, "message": refused.words, "hint": refused.hint}
        return plain(rendering.document("refused", body), "application/json", status=refused.status)
    mark = guard.nonce()
    root = request.scope.get("root_path", "").rstrip("/")
    text = rendering.html(
        "refused.html",
        {
            "refused": refused,
            "mark": mark,
            "asset": lambda name: f"{root}/{assets.address(name)}",
            "root": root,
            "site": site,
        },
    )
    return _html(text, mark, refused.status)


def trouble(request: Request, error: errors.DutifulError, ask: Ask) -> Response:
    """An error of ours as a page: what happened, what was not done, what to do."""
    status = next((code for kind, code in STATUS if isinstance(error, kind)), 500)
    message = ask.site.redactor.text(error.message)
    model = {
        "status": status,
        "title": "Too slow: narrow it"
        if isinstance(error, errors.TooSlow)
        else TITLES.get(status, "An error"),
        "code": error.code,
        "message": message,
        "hint": error.hint,
        "back": ask.said("back"),
    }
    if wants_json(request):
        return plain(rendering.document("error", model), "application/json", status=status)
    mark = guard.nonce()
    fragment = FRAGMENT in request.headers
    context = context_of(ask, None, mark) | {
        "model": model,
        "layout": "fragment.html" if fragment else "layout.html",
    }
    return _html(rendering.html("error.html", context), mark, status)


def wants_json(request: Request) -> bool:
    """Whether the address is that of a ``.json`` twin."""
    return bool(request.url.path.endswith(".json"))
