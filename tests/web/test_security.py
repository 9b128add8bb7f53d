"""S1, S2, S4, S5: who may do what, from where, and what nobody sees. The matrix is made from the router."""

from __future__ import annotations

import json
from typing import Any

import pytest

from dutiful.engines.reading import open_reader
from dutiful.model.errors import PageWouldBeOpen, StoreReadOnly
from dutiful.model.operators import PRESETS, Operator
from dutiful.operations import people
from dutiful.supervise.desk import Desk
from dutiful.web import pages
from dutiful.web.entrance import PasswordFile, TrustedHeader, Visit
from dutiful.web.routes import SCREENS
from dutiful.web.server import Alone, Standing
from dutiful.web.verbs import VERBS
from tests.web import shop
from tests.web.conftest import Page, Shop

ROLES = (*PRESETS, "nobody")
PUBLIC = {"static"}
NOBODY_ASKED = {"sign-in"}


def place(path: str, ids: dict[str, str]) -> str:
    return path.replace("{id}", ids["secret"]).replace("{name:path}", "deploy").replace("{name}", "mail")


def operator(role: str) -> Operator | None:
    return None if role == "nobody" else Operator(role, role, role, how="web")


def writes(page: Page) -> list[Any]:
    return [route for route in page.asgi.routes if "POST" in route.methods]


def wrongs(page: Page, ids: dict[str, str], *, readonly: bool) -> list[str]:
    """Where a write is refused to whom it is not, or let through to whom it is not."""
    found = []
    for route in writes(page):
        needs = {verb.name: verb.needs for verb in VERBS}[route.name]
        for role in ROLES:
            form = {"seen": "done.9.", "reason": "a test", "action_id": "", "expected": "99999"}
            got = page.post(place(route.path, ids), form, who=operator(role))
            allowed = role != "nobody" and needs in PRESETS[role] and not readonly
            if (got.status != 403) is not allowed:
                found.append(f"{route.path} as {role}: {got.status}")
    return found


def test_s1_every_write_by_every_role(filled: Shop) -> None:
    page = filled.page()
    assert {route.name for route in writes(page)} == {verb.name for verb in VERBS}
    assert wrongs(page, filled.ids, readonly=False) == []
    assert wrongs(filled.page(readonly=True), filled.ids, readonly=True) == []


def test_s1_a_check_that_is_left_out_is_noticed(filled: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pages, "demand", lambda operator, permission, *, wide: None)
    monkeypatch.setattr(Desk, "demand", lambda self, permission, *, queue=None, task=None: None)
    assert wrongs(filled.page(), filled.ids, readonly=False)


def test_s1_nobody_sees_anything(filled: Shop) -> None:
    page = filled.page()
    for route in page.asgi.routes:
        if route.name not in PUBLIC and "GET" in route.methods:
            assert page.get(place(route.path, filled.ids), who=None).status == 403, route.path


def test_s1_who_is_held_to_a_queue_sees_and_does_only_that(filled: Shop) -> None:
    page = filled.page()
    page.who = Operator("bo", "Bo", "operator", how="web", queues=("mail",), tasks=("*",))
    other = filled.ids["secret"]
    assert page.get(f"/jobs/{other}").status == 403
    assert page.post(f"/jobs/{other}/retry", {"seen": "dead.1.", "reason": "x"}).status == 403
    assert page.get("/").status == 403  # it is of all queues
    listed = json.loads(page.get("/dead.json").body)["rows"]
    assert listed and {row["queue"] for row in listed} == {"mail"}
    assert {row["name"] for row in json.loads(page.get("/queues.json").body)["rows"]} == {"mail"}


def test_s1_read_only_means_that_the_store_cannot_be_written(filled: Shop) -> None:
    reader = open_reader(filled.app.engine)
    operation = people.cancel(filled.app.name, filled.ids["waiting"], actor="x")
    with pytest.raises(StoreReadOnly):
        reader.run(operation)
    lying = type(operation)(operation.name, operation.begin, reads=True)
    with pytest.raises(StoreReadOnly):
        reader.run(lying)
    reader.close()


CROSS = [
    (("sec-fetch-site", "cross-site"),),
    (("sec-fetch-site", "same-site"),),
    (("sec-fetch-site", "none"),),
    (),
    (("origin", "https://evil.example"),),
    (("origin", "null"),),
    (("origin", "http://page.example.evil.example"),),
]


@pytest.mark.parametrize("headers", CROSS, ids=str)
def test_s2_what_another_site_sends_is_refused(filled: Shop, headers: Any) -> None:
    page = filled.page()
    for route in writes(page):
        form = page.fields(f"/jobs/{filled.ids['secret']}/retry") | {"reason": "x"}
        assert page.post(place(route.path, filled.ids), form, headers=headers).status == 403, route.path


def test_s2_without_sec_fetch_the_origin_and_the_token_decide(filled: Shop) -> None:
    page = filled.page()
    path = f"/jobs/{filled.ids['receipt 6']}/retry"
    form = page.fields(path) | {"reason": "", "seen": "done.9."}
    ours = (("origin", "http://page.example"),)
    assert page.post(path, form, headers=ours).status == 409
    assert page.post(path, form | {"token": "0" * 64}, headers=ours).status == 403
    assert page.post(path, form | {"token": ""}, headers=ours).status == 403


def test_s2_no_get_acts_and_no_foreign_host_is_answered(filled: Shop) -> None:
    page = filled.page(hosts=["page.example"])
    for screen in SCREENS:
        assert page.post(place(screen.path, filled.ids)).status == 405, screen.path
        assert page.get(place(screen.path, filled.ids), headers=(("host", "evil.example"),)).status == 403
    before = page.get("/pulse").body
    for verb in VERBS:
        page.get(place(verb.path, filled.ids) + "?reason=x&seen=dead.1.&action_id=1")
    assert page.get("/pulse").body == before
    assert page.ask("/dead", method="DELETE").status == 405


def everywhere(page: Page, ids: dict[str, str]) -> list[tuple[str, bytes]]:
    paths = [place(route.path, ids) for route in page.asgi.routes if "GET" in route.methods]
    return [(path, page.get(path).body) for path in paths if path != "/live"]


def test_s4_a_secret_is_on_no_page(filled: Shop) -> None:
    page = filled.page()
    for path, body in everywhere(page, filled.ids):
        assert shop.SECRET.encode() not in body and b"4111-secret" not in body, path
    assert "•••• redacted" in page.get(f"/jobs/{filled.ids['secret']}").body.decode()


def test_s4_a_rule_that_raises_hides_all(filled: Shop) -> None:
    def broken(task: str, path: tuple[str, ...]) -> bool | None:
        raise RuntimeError("no")

    page = filled.page(redact=broken)
    text = page.get(f"/jobs/{filled.ids['receipt 3']}").body.decode()
    assert "redacted: formatter failed" in text and "c3@example.com" not in text


def test_s4_without_masking_it_would_be_seen(filled: Shop) -> None:
    page = filled.page(redact=lambda task, path: False)
    assert shop.SECRET.encode() in page.get(f"/jobs/{filled.ids['secret']}").body


def test_s5_mounted_without_authorize_it_is_closed_and_says_how_to_open_it(filled: Shop) -> None:
    from dutiful.web import wsgi

    answer: list[Any] = []
    environ = {
        "REQUEST_METHOD": "GET",
        "PATH_INFO": "/dead",
        "SCRIPT_NAME": "/ops",
        "REMOTE_ADDR": "10.0.0.7",
    }
    body = b"".join(wsgi(filled.app)(environ, lambda status, headers: answer.append(status))).decode()
    assert answer[0].startswith("403") and "authorize=" in body and "receipt" not in body


def test_s5_alone_it_is_not_open_to_others(filled: Shop, tmp_path: Any) -> None:
    for bind in ("0.0.0.0:7878", "10.1.2.3:80", "[::]:7878", "example.com:7878"):
        with pytest.raises(PageWouldBeOpen):
            Alone(filled.app, Standing(bind))
    words = tmp_path / "words"
    words.write_text("ann:admin:correct horse\nbo:viewer:staple\n")
    Alone(filled.app, Standing("0.0.0.0:7878", password_file=words)).close()


def test_s5_a_token_lets_one_in_once(filled: Shop) -> None:
    alone = Alone(filled.app, Standing())
    page = Page(alone.asgi, alone.site)
    from dutiful.web.inline import call

    def get(path: str, query: str = "", cookie: str = "") -> Any:
        headers = [("host", "127.0.0.1:7878"), *([("cookie", cookie)] if cookie else [])]
        return call(
            page.asgi,
            method="GET",
            root="",
            path=path,
            query=query.encode(),
            headers=headers,
            body=b"",
            scheme="http",
            client="127.0.0.1",
            extra={},
        )

    assert get("/dead").status == 403
    assert get("/sign-in", "token=wrong").status == 403
    first = get("/sign-in", f"token={alone.token}")
    cookie = dict(first.headers)["set-cookie"]
    assert first.status == 303 and "httponly" in cookie.lower() and "samesite=strict" in cookie.lower()
    assert get("/dead", cookie=cookie.partition(";")[0]).status == 200
    assert get("/sign-in", f"token={alone.token}").status == 403
    alone.close()


def test_s5_passwords_and_proxies(tmp_path: Any) -> None:
    words = tmp_path / "words"
    words.write_text("ann:admin:correct horse\nbo:viewer:staple\n")
    door = PasswordFile(words)
    assert door.sign_in("ann", "staple") is None
    word = door.sign_in("bo", "staple")
    assert word is not None
    someone = door(Visit("10.0.0.7", {}, {"dutiful_session": word}))
    assert someone is not None and not someone.may("retry") and someone.may("view")
    for _ in range(5):
        door.sign_in("ann", "guess")
    assert door.sign_in("ann", "correct horse") is None and door.locked

    proxy = TrustedHeader("X-Forwarded-User", ["10.0.0.0/24"])
    believed = proxy(Visit("10.0.0.7", {"x-forwarded-user": "ann"}, {}))
    assert believed is not None and believed.id == "ann"
    assert proxy(Visit("10.9.0.7", {"x-forwarded-user": "ann"}, {})) is None
    assert proxy(Visit("10.0.0.7", {}, {})) is None


def test_every_answer_has_the_policy_and_is_not_kept(page: Page, filled: Shop) -> None:
    for path in ("/", "/dead", "/nothing", "/dead.json", f"/jobs/{filled.ids['secret']}/retry"):
        headers = dict(page.get(path).headers)
        assert "default-src 'none'" in headers["content-security-policy"], path
        assert "unsafe" not in headers["content-security-policy"]
        assert headers["cache-control"] == "no-store" and headers["x-content-type-options"] == "nosniff"
