"""The benchmark's own logic: who takes part in what, rates from times, targets, the chart, the page's tables.

No figure is measured here, and none is read.
"""

from __future__ import annotations

import json
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

import pytest

from bench import chart, course, pages
from bench.calls import Outcome
from bench.contestants import BY_NAME, CONTESTANTS, PEERS
from bench.marks import MARKS_VARIABLE, Marks, Stalled
from bench.measures import CALLS, MEASURES, STATES, TITLES, chosen, percentile
from bench.report import tables
from bench.results import Results
from bench.run import Plan
from bench.sizes import DEFAULT, FULL, QUICK
from bench.targets import Target

DRAINED = {"jobs_per_s": 12_000.0, "cpu_us": 90.0}


def found(peer_rate: float = 1_000.0) -> tuple[Results, list[Any]]:
    """A run of two calls, with ours, a floor, a peer that was measured and one that is missing."""
    results = Results()
    for name, rate in (("ours-postgres", 12_000.0), ("floor-postgres", 15_000.0), ("pgqueuer", peer_rate)):
        for times in (0.9, 1.0, 1.2):
            value = {**DRAINED, "jobs_per_s": rate * times}
            results.add("postgres", BY_NAME[name], "drain", Outcome(value))
        held = {**DRAINED, "share": 0.95, "churned": 300, "course": [(1.0, rate), (2.0, rate / 2)]}
        results.add("postgres", BY_NAME[name], "held", Outcome(held))
    results.add("postgres", BY_NAME["dbos"], "drain", Outcome(problem="not installed"))
    return results, chosen(["postgres"], ["postgres.drain", "held"])


def figures(results: Results, measures: list[Any]) -> dict[str, Any]:
    """What ``--json`` writes, as it is read again."""
    made = {
        "date": "2026-11-30",
        "size": "quick",
        "sizes": {"rounds": 3, "state_stock": 1_000_000},
        "machine": "2 cores",
        "settings": {"pgqueuer": "PgQueuer, one process.\n\nMore."},
        "measures": results.as_json(measures, ["pgqueuer", "dbos"]),
        "courses": results.courses(),
    }
    read: dict[str, Any] = json.loads(json.dumps(made))
    return read


def test_every_measure_has_a_call_and_every_call_a_measure() -> None:
    assert {measure.call for measure in MEASURES} == set(CALLS)
    assert len({measure.key for measure in MEASURES}) == len(MEASURES)
    assert tuple(TITLES) == STATES


def test_a_peer_that_something_is_aimed_at_takes_part() -> None:
    for measure in MEASURES:
        for peer in measure.peer_targets:
            assert BY_NAME[peer].measured_on(measure.engine), f"{measure.key}: {peer}"


@pytest.mark.parametrize("name", PEERS)
def test_a_peer_says_how_it_is_measured(name: str) -> None:
    said = BY_NAME[name].settings()
    assert said and "\n\n" in said, f"{name}'s module says nothing of its settings"


def test_who_takes_part() -> None:
    def names(size: Any, engine: str, call: str, number: int = 0) -> set[str]:
        return {each.name for each in Plan(MEASURES, PEERS, size).contestants(engine, call, number)}

    assert names(QUICK, "postgres", "held") == {"floor-postgres", "ours-postgres"}
    on_postgres = {each.name for each in CONTESTANTS if each.store == "postgres"}
    assert names(DEFAULT, "postgres", "held") == on_postgres
    assert names(DEFAULT, "postgres", "state:finished") == {"ours-postgres"}
    assert names(FULL, "postgres", "state:finished") == on_postgres - {"floor-postgres"}
    assert names(FULL, "postgres", "state:queues") == {"ours-postgres"}
    assert names(FULL, "sqlite", "state:waiting", FULL.state_rounds) == set()
    assert names(FULL, "postgres", "drain_once:4") == {"floor-postgres", "ours-postgres"}
    assert (
        names(FULL, "postgres", "idle:100") == names(FULL, "postgres", "latency:unheard") == {"ours-postgres"}
    )
    assert names(FULL, "postgres", "drain") == {each.name for each in CONTESTANTS if each.store != "sqlite"}


def test_whoever_goes_first_changes() -> None:
    plan = Plan(MEASURES, PEERS, FULL)
    firsts = {plan.contestants("sqlite", "drain", number)[0].name for number in range(4)}
    assert firsts == {"floor-sqlite", "ours-sqlite", "huey", "huey_off"}


@pytest.mark.parametrize("size", [QUICK, DEFAULT, FULL], ids=lambda size: size.name)
def test_every_call_has_its_options(size: Any) -> None:
    plan = Plan(MEASURES, PEERS, size)
    for engine in plan.engines():
        for call in plan.calls(engine):
            for contestant in plan.contestants(engine, call):
                assert plan.options(contestant, call)


def test_a_target_is_met_or_not_or_cannot_be_told() -> None:
    ratio, ours, above = Target("ratio", "≥", 0.6), Target("ours", "≤", 2), Target("above floor", "≤", 3)
    assert [ratio.met(6, 10), ratio.met(5.9, 10), ratio.met(6, None)] == [True, False, None]
    assert [ours.met(2, None), ours.met(2.1, None), ours.met(None, 1)] == [True, False, None]
    assert [above.met(4, 1), above.met(4.1, 1), above.met(4, None)] == [True, False, None]


def test_percentiles_are_values_that_were_there() -> None:
    assert [percentile(range(1, 101), share) for share in (0.5, 0.95, 0.99)] == [50, 95, 99]
    assert percentile([7.0], 0.5) == 7.0


def test_rates_from_times() -> None:
    times = [5 + 0.01 * n for n in range(801)]
    assert [round(rate) for _, rate in course.course(times, 5.0)] == [100] * 8
    assert course.course(times, 5.0)[-1][0] == pytest.approx(8.0, abs=0.02)
    assert course.middle(times) == pytest.approx(100)
    assert course.middle([0.0, *times, 60.0]) == pytest.approx(100), "stragglers at both ends do not count"
    assert course.between(times, 6.0, 8.0) == pytest.approx(100, abs=1)
    assert course.between(times, 12.0, 99.0) == pytest.approx(100, abs=2), "until the last of them"
    assert course.course([1.0, 1.0], 0.0) == [], "two at one moment have no rate"


def test_marks_are_times_by_job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(MARKS_VARIABLE, "")  # create sets it for workers: it is taken back at the end
    marks = Marks.create(tmp_path / "marks", 5)
    with pytest.raises(Stalled, match="no job began"):
        marks.wait_for_any(range(5), timeout_s=0.01, check=lambda: None)
    marks.write(3)
    marks.write(1)
    marks.wait_for_any(range(5), timeout_s=0.01, check=lambda: None)
    assert marks.times(range(5)) == [marks.read(3), marks.read(1)], "the earliest first"
    assert marks.times(range(0, 1)) == [] and len(marks.times(range(2, 5))) == 1


def test_the_json_has_ours_floor_ratio_target_and_peers() -> None:
    drain, *_ = found()[0].as_json(found()[1], ["pgqueuer", "dbos"])
    assert (drain["name"], drain["ours"], drain["floor"]) == ("postgres.drain", 12_000, 15_000)
    assert (drain["low"], drain["high"]) == pytest.approx((10_800, 14_400))
    assert drain["ratio"] == pytest.approx(0.8) and drain["target"] == "ratio ≥ 0.6" and drain["met"] is True
    assert drain["peers"] == {"pgqueuer": 1_000, "dbos": "not installed"}
    assert drain["against"]["pgqueuer"] == {"ratio": 12.0, "target": "ratio ≥ 2", "met": True}
    assert drain["against"]["dbos"]["met"] is None


def test_a_missed_target_is_shown() -> None:
    results, measures = found(peer_rate=7_000.0)
    assert results.as_json(measures, ["pgqueuer"])[0]["against"]["pgqueuer"]["met"] is False
    said = tables(results, measures, ["pgqueuer", "dbos"])
    assert "(≥ 2) ✗" in said and "ratio ≥ 0.6 ✓" in said and "not installed" in said
    assert "PgQueuer on PostgreSQL: one worker process" in said, "settings stand in the output"


def test_the_chart_has_a_line_and_a_name_for_each() -> None:
    results, _ = found()
    picture = ElementTree.fromstring(
        chart.drawn({**results.courses(), "a<b": [(1.0, 3.0)], "none": [], "dead": [(1, 0)]})
    )
    lines = [each for each in picture.iter() if each.tag.endswith("polyline")]
    texts = [each.text for each in picture.iter() if each.tag.endswith("text")]
    assert len(lines) == 4 and {"dutiful", "floor", "pgqueuer", "a<b"} <= set(texts)
    for line in lines:
        for point in line.attrib["points"].split():
            across, down = map(float, point.split(","))
            assert 0 <= across <= chart.WIDTH and 0 <= down <= chart.HEIGHT
    assert "nobody was measured" in chart.drawn({})


def test_a_faster_one_stands_higher_and_labels_keep_apart() -> None:
    picture = chart.drawn({"ours": [(1.0, 10_000.0), (2.0, 10_000.0)], "slow": [(1.0, 10.0), (2.0, 10.0)]})
    ours, slow = (each for each in ElementTree.fromstring(picture).iter() if each.tag.endswith("polyline"))
    heights = [float(line.attrib["points"].split()[0].split(",")[1]) for line in (ours, slow)]
    assert heights[0] < heights[1]
    assert chart.apart([10, 12, 40]) == [10, 10 + chart.LABEL_PX, 40]


def test_the_page_gets_new_tables_and_keeps_its_words() -> None:
    results, measures = found()
    page = f"# Speed\n\nwords\n\n{pages.BEGIN}\n\nold\n\n{pages.END}\n\nmore words\n"
    new = pages.replaced(page, figures(results, measures))
    assert new.startswith("# Speed\n\nwords") and new.endswith("more words\n") and "old" not in new
    assert "| drain | jobs/s | 12,000 | 15,000 | 0.80× | ratio ≥ 0.6 ✓ |" in new
    assert "| pgqueuer | 1,000 (12.0× ✓) |" in new and "| dbos | not installed |" in new
    assert pages.replaced(new, figures(results, measures)) == new, "written twice it is the same"
    with pytest.raises(ValueError, match="lacks its marks"):
        pages.replaced("# Speed\n", figures(results, measures))


def test_of_several_runs_the_page_shows_the_medians() -> None:
    runs = [figures(*found(rate)) for rate in (1_000.0, 2_000.0, 4_000.0)]
    runs[2]["measures"] = runs[2]["measures"][1:]  # a run of fewer measures
    [drain, *_] = pages.combined(runs)["measures"]
    assert drain["name"] == "postgres.drain"
    assert drain["peers"] == {"pgqueuer": 1_500.0, "dbos": "not installed"}
    assert drain["against"]["pgqueuer"] == {"ratio": 9.0, "target": "ratio ≥ 2", "met": True}
    assert drain["against"]["dbos"] == {"ratio": None, "target": "ratio ≥ 8", "met": None}
    assert pages.combined(runs[:1])["measures"] == runs[0]["measures"]
    assert "medians of 3 runs" in pages.written(pages.combined(runs))


def test_the_page_in_the_repository_has_its_marks() -> None:
    text = pages.PAGE.read_text()
    assert text.count(pages.BEGIN) == text.count(pages.END) == 1
