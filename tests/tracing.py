"""OpenTelemetry's spans and metrics in the tests. A process has one provider of each, so all tests share them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from opentelemetry import metrics, trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader, Metric
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter


@contextmanager
def collecting_spans() -> Iterator[InMemorySpanExporter]:
    """Give the body an exporter that collects the spans that are finished in it, and keeps none of later tests."""
    provider = trace.get_tracer_provider()
    if not isinstance(provider, TracerProvider):
        provider = TracerProvider()
        trace.set_tracer_provider(provider)
    exporter = InMemorySpanExporter()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    yield exporter
    exporter.shutdown()


_READER = InMemoryMetricReader()
metrics.set_meter_provider(MeterProvider([_READER]))


def recorded_metrics(scope: str) -> list[Metric]:
    """Return what this process has recorded so far under the name of a library."""
    data = _READER.get_metrics_data()
    resources = data.resource_metrics if data else []
    scopes = [each for resource in resources for each in resource.scope_metrics if each.scope.name == scope]
    return [metric for each in scopes for metric in each.metrics]
