"""Spans for runs, linked to the span in which each job was enqueued (extra ``telemetry``; the API alone).

``instrument(app)`` once, where the app is made: in the programs that enqueue and in the workers. What is
active at an enqueue is then stored beside the job, in the same transaction; a run is a span of its own, in a
trace of its own, with a link to it. Not its child: a run may come a day later, and again. What a body raises
is told by its type only, for its text may hold what an argument held.
"""

from __future__ import annotations

from collections.abc import Iterator

from opentelemetry import trace
from opentelemetry.trace import Link, SpanKind, Status, StatusCode, TracerProvider
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from ..app import tracing
from ..app.app import App
from ..app.running import Run
from ..model.errors import DutifulError
from ..model.retry import RetryIn, Snooze
from ..operations import traces

_PROPAGATOR = TraceContextTextMapPropagator()
_HEADER = "traceparent"


def instrument(app: App, provider: TracerProvider | None = None) -> None:
    """Trace this app's enqueues and runs; ``provider`` is the global one if left away.

    A run asks the store once for the span of its enqueue; where that cannot be read, the run has no link.
    """
    tracer = trace.get_tracer("dutiful", tracer_provider=provider)
    tracing.context = current_traceparent

    @app.around
    def spanned(run: Run) -> Iterator[None]:
        attributes: dict[str, str | int] = {
            "messaging.system": "dutiful",
            "messaging.operation.type": "process",
            "messaging.message.id": run.job_id,
            "dutiful.app": app.name,
            "dutiful.task": run.task,
            "dutiful.run_no": run.run_no,
            "dutiful.attempt": run.attempt,
        }
        with tracer.start_as_current_span(
            f"run {run.task}",
            kind=SpanKind.CONSUMER,
            attributes=attributes,
            links=_links(app, run.job_id),
            record_exception=False,
            set_status_on_exception=False,
        ) as span:
            try:
                yield
            except (Snooze, RetryIn) as asked:
                span.set_attribute("dutiful.asked", type(asked).__name__)
                raise
            except BaseException as error:
                span.set_attribute("error.type", type(error).__name__)
                span.set_status(Status(StatusCode.ERROR))
                raise


def current_traceparent() -> str | None:
    """The active span as W3C's header, or None where none is."""
    carrier: dict[str, str] = {}
    _PROPAGATOR.inject(carrier)
    return carrier.get(_HEADER)


def _links(app: App, job_id: str) -> list[Link]:
    try:
        text = app.engine.run(traces.find(job_id))
    except DutifulError:
        return []  # tracing hinders no run
    if text is None:
        return []
    context = trace.get_current_span(_PROPAGATOR.extract({_HEADER: text})).get_span_context()
    return [Link(context)] if context.is_valid else []
