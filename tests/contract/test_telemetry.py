"""Spans: a run is linked to the span in which its job was enqueued, on every store and by every way in."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from dutiful import App, Snooze
from dutiful.app import tracing
from dutiful.integrations.opentelemetry import instrument
from dutiful.operations import traces
from dutiful.testing import run_all


class Traced:
    """An app that is traced, and the spans that ended."""

    def __init__(self, url: str) -> None:
        self.exporter = InMemorySpanExporter()
        provider = TracerProvider()
        provider.add_span_processor(SimpleSpanProcessor(self.exporter))
        self.tracer = provider.get_tracer("test")
        self.app = App("shop", url)
        instrument(self.app, provider)

    def runs(self) -> list[ReadableSpan]:
        return [span for span in self.exporter.get_finished_spans() if span.kind is SpanKind.CONSUMER]


@pytest.fixture
def traced(rows_url: str) -> Iterator[Traced]:
    one = Traced(rows_url)
    yield one
    one.app.close()
    tracing.context = None


def test_a_run_is_linked_to_its_enqueue(traced: Traced) -> None:
    app = traced.app

    @app.task(name="send", once="send:{n}", retry=0)
    def send(n: int) -> None: ...

    with traced.tracer.start_as_current_span("request") as span:
        first = span.get_span_context()
        job = send.enqueue(1)
        again = send.enqueue(1)
        app.enqueue_many(send, [2, 3])
    assert again.duplicate
    run_all(app)
    runs = traced.runs()
    assert [run.name for run in runs] == ["run send"] * 3
    for run in runs:
        [link] = run.links
        assert (link.context.trace_id, link.context.span_id) == (first.trace_id, first.span_id)
        assert run.parent is None and run.context.trace_id != first.trace_id
    ids = [dict(run.attributes or {})["messaging.message.id"] for run in runs]
    assert job.id in ids and len(set(ids)) == 3


def test_a_job_of_no_span_has_no_row_and_no_link(traced: Traced) -> None:
    app = traced.app

    @app.task(name="send")
    def send(n: int) -> None: ...

    job = send.enqueue(1)
    run_all(app)
    [run] = traced.runs()
    assert run.links == () or list(run.links) == []
    assert app.engine.run(traces.find(job.id)) is None


def test_what_a_body_raises_is_told_by_its_type_alone(traced: Traced) -> None:
    app = traced.app

    @app.task(name="fails", retry=0)
    def fails(n: int) -> None:
        if n == 1:
            raise ValueError("s3cret")
        raise Snooze("1h")

    fails.enqueue(1), fails.enqueue(2)
    run_all(app)
    by_status: dict[Any, ReadableSpan] = {run.status.status_code: run for run in traced.runs()}
    failed, asked = by_status[StatusCode.ERROR], by_status[StatusCode.UNSET]
    assert dict(failed.attributes or {})["error.type"] == "ValueError"
    assert dict(asked.attributes or {})["dutiful.asked"] == "Snooze"
    assert "s3cret" not in failed.to_json() and not failed.events


def test_a_span_is_rolled_back_with_its_job_and_forgotten_in_time(traced: Traced) -> None:
    app = traced.app

    @app.task(name="send")
    def send(n: int) -> None: ...

    @app.task(name="makes", delivery="exactly_once", retry=0)
    def makes(n: int) -> None:
        send.enqueue(n)
        raise ValueError("no")

    with traced.tracer.start_as_current_span("request"):
        kept = makes.enqueue(1)
    run_all(app)
    assert app.engine.run(traces.find(kept.id)) is not None
    app.engine.run(traces.forget(3_600_000_000))
    assert app.engine.run(traces.find(kept.id)) is not None
    app.engine.run(traces.forget(-1_000_000))
    assert app.engine.run(traces.find(kept.id)) is None


def test_without_it_nothing_is_asked_and_nothing_stored(sqlite_url: str) -> None:
    assert tracing.context is None and tracing.current() is None
    app = App("shop", sqlite_url)

    @app.task(name="send")
    def send(n: int) -> None: ...

    seen: list[str] = []
    app.engine.observe = lambda step: seen.append(step.name)  # type: ignore[attr-defined]
    send.enqueue(1)
    seen.clear()
    send.enqueue(2)
    assert seen == ["enqueue_job"]
    app.close()
