"""Silences with a reason, the baseline, and what is wrong with either."""

from __future__ import annotations

from pathlib import Path

import pytest

from dutiful.check import baseline
from dutiful.check.engine import Wanted, examine
from dutiful.check.findings import Outcome

HEAD = "import requests\nfrom celery import Celery\nc = Celery('x')\n\n"
TASK = "@c.task()\ndef fetch(u):\n    requests.get(u){}\n"


def look(folder: Path, code: str, *rules: str) -> Outcome:
    (folder / "jobs.py").write_text(HEAD + code, "utf-8")
    return examine(Wanted((folder,), select=rules or ("DU000", "DU024")))


@pytest.mark.parametrize("dash", ["—", "–", "--", "-"])
def test_a_silence_with_a_reason_counts(dash: str, tmp_path: Path) -> None:
    outcome = look(tmp_path, TASK.format(f"  # dutiful: ok DU024 {dash} the proxy cuts it after 5 s"))
    assert (outcome.findings, outcome.silenced) == ([], 1)


@pytest.mark.parametrize(
    "code",
    [
        TASK.format("").replace("    requests", "    # dutiful: ok DU024 — the proxy\n    requests"),
        TASK.format("").replace("get(u)", "get(\n        u\n    )  # dutiful: ok DU024 — the proxy"),
        TASK.format("  # dutiful: ok DU041, DU024 — the proxy"),
    ],
    ids=["on the line before", "at the end of the statement", "several rules"],
)  # fmt: skip
def test_where_a_silence_may_stand(code: str, tmp_path: Path) -> None:
    assert look(tmp_path, code).silenced == 1


@pytest.mark.parametrize(
    ("comment", "why", "severity"),
    [
        ("# dutiful: ok DU024", "without a reason", "E"),
        ("# dutiful: ok DU024 —  ", "without a reason", "E"),
        ("# dutiful: ok", "names no rule", "E"),
        ("# dutiful: ok everything — it is fine", "names no rule", "E"),
        ("# dutiful: ok DU999 — it is fine", "there is no rule DU999", "E"),
        ("# dutiful: ok DU023, DU024 — it is fine", "DU023 finds nothing here", "I"),
    ],
)
def test_a_silence_that_says_too_little_is_a_finding(
    comment: str, why: str, severity: str, tmp_path: Path
) -> None:
    outcome = look(tmp_path, TASK.format(f"  {comment}"), "DU000", "DU023", "DU024")
    [found] = [one for one in outcome.findings if one.rule == "DU000"]
    assert why in found.why and found.severity == severity


@pytest.mark.parametrize(
    "comment", ["# dutiful: ok DU024 — the proxy", "# dutiful is ok", "# ok DU024 — the proxy"]
)
def test_what_is_no_finding_about_a_silence(comment: str, tmp_path: Path) -> None:
    outcome = look(tmp_path, TASK.format(f"  {comment}"))
    assert "DU000" not in {one.rule for one in outcome.findings}


def test_a_text_that_looks_like_a_silence_is_none(tmp_path: Path) -> None:
    outcome = look(tmp_path, TASK.format("; x = '# dutiful: ok DU024 — no'"))
    assert [one.rule for one in outcome.findings] == ["DU024"]


def test_a_baseline_knows_lines_that_moved_and_no_new_ones(tmp_path: Path) -> None:
    file = tmp_path / "known.json"
    baseline.write(file, look(tmp_path, TASK.format("")).findings)
    moved = look(tmp_path, "\n\n\n" + TASK.format("")).findings
    assert baseline.without(file, moved) == ([], 1)
    again = look(tmp_path, TASK.format("") + "    requests.get(u)\n").findings
    new, known = baseline.without(file, again)
    assert (len(new), known) == (1, 1)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"schema": "other/1", "findings": []}', '{"schema": 3}'])
def test_a_file_that_is_no_baseline_is_refused(text: str, tmp_path: Path) -> None:
    file = tmp_path / "known.json"
    file.write_text(text)
    with pytest.raises(baseline.BadBaseline):
        baseline.without(file, [])
    with pytest.raises(baseline.BadBaseline, match="--write-baseline"):
        baseline.without(tmp_path / "none.json", [])
