"""What a database says to the check: its unique keys, and the jobs in a store."""

from __future__ import annotations

from pathlib import Path

import psycopg
import pytest

from dutiful import App
from dutiful.check.schema import read_schema
from dutiful.cli.root import program


@pytest.mark.postgres
def test_the_unique_keys_of_a_postgresql(empty_postgres_url: str) -> None:
    with psycopg.connect(empty_postgres_url) as connection:
        connection.execute("create table log (id bigint primary key, text text)")
        connection.execute("create table receipts (order_id bigint, cents int, unique (order_id, cents))")
        connection.execute("create table bare (x int)")
        connection.execute("create unique index on bare (x) where x > 1")  # not for all rows
    schema = read_schema(empty_postgres_url)
    assert schema.table("public.log") == [frozenset({"id"})]
    assert schema.table("receipts") == [frozenset({"order_id", "cents"})]
    assert schema.table("bare") == []
    assert schema.table("nowhere") is None


def test_jobs_of_a_store_that_the_code_does_not_know(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    app = App("shop", "sqlite:///shop.db")

    @app.task(name="jobs.send")
    def send(order_id: int) -> None: ...

    send.enqueue(1)
    app.close()
    head = 'from dutiful import App\napp = App("shop", "sqlite:///shop.db")\n'
    for name, says in (("post", "1 open jobs are of jobs.send"), ("send", "nothing found")):
        Path("jobs.py").write_text(f"{head}\n@app.task()\ndef {name}(i: int): ...\n")
        words = ["check", "--select", "DU036,DU037", "--store", "sqlite:///shop.db"]
        assert program.main(words, standalone_mode=False) == 0
        assert says in capsys.readouterr().out
