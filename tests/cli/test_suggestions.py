"""What is offered to be typed next works as it stands."""

from __future__ import annotations

import pytest

from dutiful.cli.suggestions import complete
from tests.cli.conftest import Shop

APP, STORE = "shop.jobs:app", "sqlite:///jobs.db"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Start one: dutiful worker -q pdf", "Start one: dutiful worker -q pdf --app shop.jobs:app"),
        ("dutiful worker", "dutiful worker --app shop.jobs:app"),
        ("a: dutiful job show J\nb", "a: dutiful job show J --app shop.jobs:app\nb"),
        ("Watch: dutiful bulk watch B", "Watch: dutiful bulk watch B --app shop.jobs:app"),
        ("Run: dutiful migrate --app MODULE:APP", "Run: dutiful migrate --app shop.jobs:app"),
        (
            "dutiful makes it, and so does the first enqueue",
            "dutiful makes it, and so does the first enqueue",
        ),
        ("One at length: dutiful explain DE203", "One at length: dutiful explain DE203"),
        ("so that dutiful job lists are short", "so that dutiful job lists are short"),
    ],
)
def test_commands_name_the_app_that_was_given(text: str, expected: str) -> None:
    assert complete(text, app=APP, store=None, app_name=None) == expected
    assert complete(text, app=None, store=None, app_name=None) == text


def test_commands_name_the_store_if_that_is_enough_for_them() -> None:
    def told(text: str, store: str = STORE) -> str:
        return complete(text, app=None, store=store, app_name="my shop")

    assert told("dutiful job list") == f"dutiful job list --store {STORE} --app-name 'my shop'"
    assert told("dutiful worker -q a") == "dutiful worker -q a"
    assert told("dutiful job list", "postgresql://ann:secret@db/shop") == "dutiful job list"


def test_they_can_be_typed(small_shop: Shop) -> None:
    app = f"{small_shop.module}:app"
    id = small_shop.bare("enqueue", "mail", "to=boom", "--app", app)
    command = id.err.rpartition("What becomes of it: dutiful ")[2].split()
    assert small_shop.bare(*command).out.startswith(f"job {id.out.strip()}  mail  waiting")
    why = small_shop.bare("job", "why", id.out.strip(), "--app", app).out
    assert f"Start one: dutiful worker -q mail --app {app}" in why
    small_shop.run_all()
    why = small_shop.bare("job", "why", id.out.strip(), "--store", small_shop.url).out
    command = why.rpartition("When its cause is mended: dutiful ")[2].split()
    assert small_shop.bare(*command).out == "1 of 1 dead job retried.\n"
