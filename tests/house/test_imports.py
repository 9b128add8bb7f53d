"""`import dutiful` is light: it loads no driver, nothing for the web, and no other library's ORM."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from devtools.places import ROOT

HEAVY = ("psycopg", "apsw", "rich", "starlette", "jinja2", "sqlalchemy", "django", "pydantic", "httpx")

LOADED_BY_IMPORT = "import json, sys, dutiful; print(json.dumps(sorted(sys.modules)))"
LOADED_BY_NAMES = (
    "import json, sys, dutiful; [getattr(dutiful, name) for name in dutiful.__all__];"
    "print(json.dumps(sorted(sys.modules)))"
)

pytestmark = pytest.mark.skipif(
    not (ROOT / "src" / "dutiful" / "__init__.py").exists(), reason="dutiful/__init__.py is not written yet"
)


@pytest.mark.parametrize("program", [LOADED_BY_IMPORT, LOADED_BY_NAMES], ids=["import", "every public name"])
def test_importing_dutiful_loads_nothing_heavy(program: str) -> None:
    output = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert output.returncode == 0, output.stderr

    tops = {module.partition(".")[0] for module in json.loads(output.stdout)}
    assert tops.isdisjoint(HEAVY), sorted(tops.intersection(HEAVY))
