"""Trace context: who belongs to whom, and what a stranger's header may do."""

import asyncio
import logging
from collections.abc import Iterator

import pytest

from shared.logs import add_event_observer, log_event
from shared.tracing import Span, SpanKind, add_span_recorder, trace_id, traced, traceparent

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.fixture
def recorded() -> Iterator[list[Span]]:
    spans: list[Span] = []
    forget = add_span_recorder(spans.append)
    yield spans
    forget()


def test_outside_of_everything_there_is_no_trace() -> None:
    assert (trace_id(), traceparent()) == (None, None)


def test_a_span_goes_on_where_its_parent_is(recorded: list[Span]) -> None:
    with traced("outer", parent=PARENT) as outer, traced("inner", SpanKind.CLIENT) as inner:
        assert trace_id() == "0af7651916cd43dd8448eb211c80319c"
        assert traceparent() == f"00-{inner.trace_id}-{inner.span_id}-01"
    assert [each.name for each in recorded] == ["inner", "outer"]
    assert (inner.parent_id, outer.parent_id) == (outer.span_id, "b7ad6b7169203331")
    assert outer.started_ns <= inner.started_ns <= inner.ended_ns <= outer.ended_ns
    assert trace_id() is None


@pytest.mark.parametrize(
    "parent",
    [
        None,
        "",
        "nonsense",
        f"00-{'0' * 32}-b7ad6b7169203331-01",
        f"00-0af7651916cd43dd8448eb211c80319c-{'0' * 16}-01",
        PARENT.upper(),
        PARENT + "\n",
        "ff" + PARENT[2:],
    ],
)
def test_malformed_traceparent_starts_a_new_trace(parent: str | None) -> None:
    with traced("it", parent=parent) as span:
        assert span.parent_id is None
        assert len(span.trace_id) == 32
        assert span.trace_id not in {"0" * 32, "0af7651916cd43dd8448eb211c80319c"}


def test_a_parent_from_elsewhere_does_not_tear_a_trace_apart() -> None:
    with traced("outer") as outer, traced("inner", parent=PARENT) as inner:
        assert inner.trace_id == outer.trace_id


def test_an_exception_is_seen_and_passed_on(recorded: list[Span]) -> None:
    def fail() -> None:
        with traced("it"):
            raise ValueError

    with pytest.raises(ValueError, match=r"^$"):
        fail()
    assert [each.is_ok for each in recorded] == [False]


async def test_concurrent_traces_stay_separate() -> None:
    async def work(begun: asyncio.Event, go: asyncio.Event) -> str | None:
        with traced("it"):
            begun.set()
            await go.wait()
            return trace_id()

    first, second, go = asyncio.Event(), asyncio.Event(), asyncio.Event()
    tasks = [asyncio.create_task(work(first, go)), asyncio.create_task(work(second, go))]
    await first.wait()
    await second.wait()
    go.set()
    one, other = await asyncio.gather(*tasks)
    assert one != other


def test_lines_and_observers_hear_of_an_event(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    heard: list[tuple[str, dict[str, object]]] = []
    forget = add_event_observer(lambda event, facts: heard.append((event, dict(facts))))
    with traced("it") as span:
        log_event("thing.done", count=3)
    forget()
    log_event("thing.done", count=4)
    assert caplog.messages == [f"thing.done count=3 trace_id={span.trace_id}", "thing.done count=4"]
    assert heard == [("thing.done", {"count": 3})]
