"""Tables, spans and instants: aligned, cut where they may be, and never more than is asked for."""

from __future__ import annotations

import pytest

from dutiful.cli.tables import FLOOR, Column, cut, fit, shown, width_of
from dutiful.cli.times import absolute, full, iso, parse_instant
from dutiful.model.spans import ago, span

S = 1_000_000
COLUMNS = [
    Column("ID"),
    Column("TASK", least=12),
    Column("N", right=True, spare=2),
    Column("ARGS", least=10, spare=1),
]
ROWS = [["0123456789", "app.mail.send_one", "7", '{"a":1}'], ["x", "t", "12345", "x" * 50]]


def test_columns_are_aligned_and_numbers_to_the_right() -> None:
    assert fit(COLUMNS, ROWS, None).lines() == [
        "ID          TASK                   N  ARGS",
        '0123456789  app.mail.send_one      7  {"a":1}',
        "x           t                  12345  " + "x" * 50,
    ]


@pytest.mark.parametrize("width", range(20, 110))
def test_a_table_is_never_wider_than_its_ids_and_floors_demand(width: int) -> None:
    fitted = fit(COLUMNS, ROWS, width)
    lines = fitted.lines()
    assert all("0123456789" in line or not line.startswith("0") for line in lines)
    assert max(map(width_of, lines)) <= max(width, 10 + 2 + FLOOR)


def test_spare_columns_go_first_the_most_spare_one_before_the_others() -> None:
    def titles(width: int) -> list[str]:
        return [column.title for column in fit(COLUMNS, ROWS, width).columns]

    assert titles(100) == ["ID", "TASK", "N", "ARGS"]
    assert titles(43) == ["ID", "TASK", "N", "ARGS"]
    assert titles(42) == ["ID", "TASK", "ARGS"]
    assert titles(33) == ["ID", "TASK"]


def test_an_empty_spare_column_is_left_out_and_an_empty_table_has_a_header() -> None:
    assert fit([Column("A"), Column("B", spare=1)], [["1", ""]], None).lines() == ["A", "1"]
    assert fit([Column("A"), Column("B")], [], None).lines() == ["A  B"]


@pytest.mark.parametrize(
    ("text", "width", "expected"),
    [
        ("abc", 3, "abc"),
        ("abcd", 3, "ab…"),
        ("日本語", 6, "日本語"),
        ("日本語", 5, "日本…"),
        ("日本語", 4, "日…"),
        ("e\u0301e\u0301", 2, "e\u0301e\u0301"),
    ],
)
def test_cutting_counts_cells(text: str, width: int, expected: str) -> None:
    assert cut(text, width) == expected


def test_control_characters_are_spelt_out() -> None:
    assert shown("a\x1b[31m\x00\u202e\n\t\x9b") == "a\\x1b[31m\\x00\\u202e\\n\\t\\x9b"
    assert shown("a\n\tb\r", lines=True) == "a\n\tb\\r"
    assert shown("naïve 日本 🎉") == "naïve 日本 🎉"


@pytest.mark.parametrize(
    ("us", "text"),
    [
        (0, "0ms"),
        (999_999, "999ms"),
        (S, "1s"),
        (59 * S, "59s"),
        (60 * S, "1m"),
        (372 * S, "6m 12s"),
        (3600 * S, "1h"),
        (3659 * S, "1h"),
        (86_400 * S + 7200 * S, "1d 2h"),
        (410 * 86_400 * S + 3600 * S, "410d"),
        (-5 * S, "5s"),
    ],
)
def test_spans_are_said_in_two_units_at_most(us: int, text: str) -> None:
    assert span(us) == text


def test_instants() -> None:
    at = 1_795_500_000 * S + 123_456
    assert iso(at) == "2026-11-24T06:00:00.123456Z" and iso(None) is None
    assert absolute(at, utc=True) == "2026-11-24 06:00:00 UTC"
    assert full(at, at + 90 * S, utc=True) == "2026-11-24 06:00:00 UTC (1m 30s ago)"
    assert (ago(at, at + 10), ago(at + 5 * S, at)) == ("just now", "in 5s")
    assert parse_instant("2026-11-24T06:00", utc=True).isoformat() == "2026-11-24T06:00:00+00:00"
    assert parse_instant("2026-11-24T06:00+01:00", utc=True).isoformat() == "2026-11-24T06:00:00+01:00"
    assert parse_instant("2026-11-24T06:00", utc=False).tzinfo is not None
