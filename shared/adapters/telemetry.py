"""Sends spans and metrics to Application Insights, by OpenTelemetry.

Neither the import of this module nor the first request imports the SDK. The exporter is loaded
after the first request, and spans and events are buffered until then. No automatic instrumentation
is used: it would record URLs, and Graph's URLs identify people.

Only the event loop's thread imports. Two threads that import from one package concurrently can
raise `_DeadlockError` in each other (Python 3.13.6 and later: an import holds the submodule's lock
while it waits for the package's), and a request may import an adapter at any time. So the loop
imports the exporter in steps and serves requests between them. The SDK's threads then find all
modules imported.
"""

import asyncio
import importlib
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Literal
from urllib.parse import urlsplit

from shared.logs import add_event_observer, log_warning
from shared.settings import Settings
from shared.tracing import Span, SpanKind, add_span_recorder, trace_id

if TYPE_CHECKING:
    from azure.core.credentials import TokenCredential
    from opentelemetry.metrics import Meter
    from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor

_WAITING: Final = 2_000
"""Limit of buffered spans, and of buffered events; the oldest are dropped."""
_FLUSH_MS: Final = 5_000
_FIRST_SECONDS: Final = 1.0
"""Pause between the end of the first request and the first step, for other requests."""
_STEP_SECONDS: Final = 0.1
"""Pause between two steps."""
_STEPS: Final = (
    "urllib3",
    "requests",
    "azure.core.exceptions",
    # The SDK's transport would import this at its first answer, in a thread of the SDK.
    "azure.core.rest._requests_basic",
    "cryptography.x509",
    "jwt",
    "msal",
    "azure.identity",
    "psutil",
    "opentelemetry.trace",
    "opentelemetry.metrics",
    "opentelemetry.sdk.resources",
    "opentelemetry.sdk.trace",
    "opentelemetry.sdk._logs.export",
    "opentelemetry.semconv.trace",
    "opentelemetry.sdk.metrics.export",
    "azure.monitor.opentelemetry.exporter",
)
"""Modules imported one per step, dependencies first: the loop is blocked for one step at most."""
NAME: Final = "mentor-calendar"

Shape = Literal["counter", "histogram", "gauge"]


@dataclass(frozen=True, slots=True)
class MetricSpec:
    """The metrics of a log event: *by* its dimensions, *shapes* the instrument of each field."""

    by: tuple[str, ...] = ()
    shapes: Mapping[str, Shape] = field(default_factory=dict)


METRICS: Final[Mapping[str, MetricSpec]] = {
    "http.replied": MetricSpec(("function", "status"), {"duration_ms": "histogram"}),
    "webhook.acknowledged": MetricSpec(
        (),
        {
            "duration_ms": "histogram",
            "accepted": "counter",
            "dropped": "counter",
            "put_off": "counter",
            "messages": "counter",
        },
    ),
    "webhook.refused": MetricSpec((), {"count": "counter"}),
    "change.seen": MetricSpec(("cause",), {"lag_ms": "histogram"}),
    "graph.throttled": MetricSpec(("operation",), {"retry_after_ms": "histogram"}),
    "renewal.queued": MetricSpec((), {"due": "gauge", "overdue": "gauge"}),
    "renewal.ran": MetricSpec(
        (), {"renewed": "counter", "recreated": "counter", "failed": "counter"}
    ),
    "reconciliation.queued": MetricSpec((), {"due": "gauge", "overdue": "gauge"}),
    "poison.counted": MetricSpec(("queue",), {"count": "gauge"}),
    "credential.checked": MetricSpec((), {"days_left": "gauge"}),
}
"""Metrics are named ``{event}.{fact}``: ``webhook.acknowledged.duration_ms``."""


class Telemetry:
    """Sends the process's spans and metrics until `aclose`. Belongs to one event loop.

    *credential* creates a credential for the SDK's threads.
    """

    def __init__(self, settings: Settings, credential: "Callable[[], TokenCredential]") -> None:
        self._settings = settings
        self._credential = credential
        self._spans: deque[Span] = deque(maxlen=_WAITING)
        self._events: deque[tuple[str, dict[str, Any]]] = deque(maxlen=_WAITING)
        self._exporting: _Exporter | None = None
        self._loading: asyncio.Task[None] | None = None
        self._closing = asyncio.Event()
        self._forget: list[Callable[[], None]] = []

    def start(self) -> None:
        """Start to record spans and events."""
        self._forget = [add_span_recorder(self._record), add_event_observer(self._observe)]

    async def aclose(self) -> None:
        """Stop recording and send the remaining spans and metrics, for some seconds at most."""
        while self._forget:
            self._forget.pop()()
        self._closing.set()
        if self._loading:
            await self._loading
        if self._exporting:
            await asyncio.to_thread(self._exporting.stop)

    def _record(self, span: Span) -> None:
        if self._exporting:
            self._exporting.record(span)
            return
        self._spans.append(span)
        # No current trace: the span that just ended was the first request's.
        if self._loading is None and trace_id() is None:
            self._loading = asyncio.get_running_loop().create_task(self._load())

    def _observe(self, event: str, facts: Mapping[str, object]) -> None:
        if event not in METRICS:
            return
        if self._exporting:
            self._exporting.count(event, facts)
        else:
            self._events.append((event, dict(facts)))

    async def _load(self) -> None:
        try:
            await self._pause(_FIRST_SECONDS)
            for module in _STEPS:
                importlib.import_module(module)
                await self._pause(_STEP_SECONDS)
            exporting = _Exporter(self._settings, self._credential())
        except Exception:  # noqa: BLE001  # requests must succeed without telemetry
            log_warning("telemetry.failed")
            return
        for span in self._spans:
            exporting.record(span)
        for event, facts in self._events:
            exporting.count(event, facts)
        self._spans.clear()
        self._events.clear()
        self._exporting = exporting

    async def _pause(self, seconds: float) -> None:
        """Yield to requests for *seconds*; return at once when the process closes."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._closing.wait()


class _Exporter:
    """The exporters of the loaded SDK."""

    def __init__(self, settings: Settings, credential: "TokenCredential") -> None:
        from azure.monitor.opentelemetry.exporter import (
            AzureMonitorMetricExporter,
            AzureMonitorTraceExporter,
        )
        from opentelemetry.sdk.metrics import MeterProvider
        from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor

        options: dict[str, Any] = {
            "connection_string": settings.telemetry_connection_string,
            "credential": credential,
            # Unsent telemetry is not written to disk, which other processes may read.
            "disable_offline_storage": True,
        }
        self._resource: Resource = Resource({"service.name": NAME})
        # The provider only carries the resource. No tracer uses it, so SDKs record no spans.
        provider = TracerProvider(resource=self._resource, shutdown_on_exit=False)
        spans = AzureMonitorTraceExporter(tracer_provider=provider, **options)
        metrics = AzureMonitorMetricExporter(**options)
        self._clients = (spans.client, metrics.client)
        self._spans: SpanProcessor = BatchSpanProcessor(spans)
        reader = PeriodicExportingMetricReader(metrics)
        self._metrics: MeterProvider = MeterProvider(
            [reader], self._resource, shutdown_on_exit=False
        )
        self._graph_host = urlsplit(settings.cloud.graph_url).hostname or ""
        meter = self._metrics.get_meter(NAME)
        self._instruments = {
            (event, fact): _instrument(meter, f"{event}.{fact}", shape)
            for event, figures in METRICS.items()
            for fact, shape in figures.shapes.items()
        }

    def record(self, span: Span) -> None:
        """Queue *span* for the next export."""
        self._spans.on_end(self._readable(span))

    def count(self, event: str, facts: Mapping[str, Any]) -> None:
        """Record *event* in each of its metrics."""
        figures = METRICS[event]
        by = {name: facts[name] for name in figures.by if name in facts}
        for fact in figures.shapes:
            if fact in facts:
                self._instruments[event, fact](facts[fact], by)

    def stop(self) -> None:
        """Send the remaining spans and metrics, then close the exporters."""
        self._spans.force_flush(_FLUSH_MS)
        self._spans.shutdown()
        self._metrics.shutdown(_FLUSH_MS)
        for client in self._clients:
            client.close()

    def _readable(self, span: Span) -> "ReadableSpan":
        from opentelemetry.sdk.trace import ReadableSpan
        from opentelemetry.trace import Link, SpanContext, Status, StatusCode, TraceFlags
        from opentelemetry.trace import SpanKind as Kind

        def context(span_id: str, trace_id: str = span.trace_id) -> SpanContext:
            flags = TraceFlags(TraceFlags.SAMPLED)
            is_remote = trace_id != span.trace_id
            return SpanContext(
                int(trace_id, 16), int(span_id, 16), is_remote=is_remote, trace_flags=flags
            )

        is_client = span.kind is SpanKind.CLIENT
        return ReadableSpan(
            span.name,
            context=context(span.span_id),
            parent=context(span.parent_id) if span.parent_id else None,
            resource=self._resource,
            # No http.* attributes: the exporter would replace the span's name by parts of the URL.
            attributes={**span.facts, **({"peer.service": self._graph_host} if is_client else {})},
            links=[Link(context(span_id, trace_id)) for trace_id, span_id in span.links],
            # Not SERVER or CONSUMER: the Functions host already reports each invocation.
            kind=Kind.CLIENT if is_client else Kind.INTERNAL,
            status=Status(StatusCode.OK if span.is_ok else StatusCode.ERROR),
            start_time=span.started_ns,
            end_time=span.ended_ns,
        )


def _instrument(
    meter: "Meter", name: str, shape: Shape
) -> "Callable[[int, Mapping[str, Any]], None]":
    match shape:
        case "counter":
            return meter.create_counter(name).add
        case "histogram":
            return meter.create_histogram(name).record
        case "gauge":
            return meter.create_gauge(name).set
