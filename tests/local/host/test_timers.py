import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from local.azurite import azurite
from local.certificate import LocalCertificate
from local.host.calls import Call, Result
from local.host.configuration import HostOptions
from local.host.connections import Connections
from local.host.errors import FunctionFailed
from local.host.host import DevelopmentHost
from local.host.invoking import Invoker
from local.host.ncrontab import Ncrontab
from local.host.timer_status import NEVER, TimerStatus, TimerStatuses
from local.host.timers import TimerListener
from local.host.triggers import AppFunction, TimerSchedule
from local.seed import IDENTITY
from tests.local.conftest import Cloud
from tests.local.host.apps import QueueInMemory, an_app, fetching, the_app

TIMER = """
    SEEN = []
    @app.timer_trigger(arg_name="timer", schedule="0 0 0 1 1 *"{more})
    async def yearly(timer: func.TimerRequest) -> None:
        SEEN.append(timer)
"""


async def test_a_timer_runs_by_hand(tmp_path: Path) -> None:
    async with DevelopmentHost(an_app(tmp_path, TIMER.format(more=""))) as host:
        function_app = the_app()

        await host.invoke_timer("yearly")
        await host.invoke_timer("yearly", past_due=True)
        first, second = function_app.SEEN
        assert (first.past_due, second.past_due) == (False, True)
        assert first.schedule_status["Next"].endswith("-01-01T00:00:00+00:00")
        with pytest.raises(KeyError):
            await host.invoke_timer("daily")


async def test_the_admin_api_starts_a_timer(tmp_path: Path) -> None:
    ended = asyncio.Event()
    async with (
        DevelopmentHost(
            an_app(tmp_path, TIMER.format(more="")),
            master_key="m",
            on_invocation=lambda _: ended.set(),
        ) as host,
        fetching(host.url) as client,
    ):
        reply = await client.post("/admin/functions/yearly?code=m", json={})
        assert reply.status == 202
        await ended.wait()
        assert host.counts["yearly"] == 1
        wrong = await client.post("/admin/functions/yearly?code=m", data="{}")
        assert wrong.status == 415


async def test_a_timer_may_run_on_startup(tmp_path: Path) -> None:
    ended = asyncio.Event()
    app_dir = an_app(tmp_path, TIMER.format(more=", run_on_startup=True"))
    async with DevelopmentHost(app_dir, on_invocation=lambda _: ended.set()) as host:
        await ended.wait()
        assert host.counts["yearly"] == 1


async def test_a_timer_runs_when_due(tmp_path: Path) -> None:
    ended = asyncio.Event()
    code = """
        @app.timer_trigger(arg_name="timer", schedule="* * * * * *")
        def every_second(timer: func.TimerRequest) -> None: ...
    """
    app_dir = an_app(tmp_path, code)
    async with DevelopmentHost(app_dir, on_invocation=lambda _: ended.set()) as host:
        await ended.wait()
        assert host.counts["every_second"] >= 1


async def test_runs_of_one_timer_never_overlap(tmp_path: Path) -> None:
    code = """
        import asyncio
        running = most = 0
        @app.timer_trigger(arg_name="timer", schedule="0 0 0 1 1 *")
        async def yearly(timer: func.TimerRequest) -> None:
            global running, most
            running += 1
            most = max(most, running)
            await asyncio.sleep(0)
            running -= 1
    """
    async with DevelopmentHost(an_app(tmp_path, code)) as host:
        function_app = the_app()

        await asyncio.gather(*(host.invoke_timer("yearly") for _ in range(5)))
        assert function_app.most == 1


async def test_a_timer_has_retries_if_it_asks_for_them(tmp_path: Path) -> None:
    code = """
        SEEN = []
        @app.timer_trigger(arg_name="timer", schedule="0 0 0 1 1 *")
        @app.retry(strategy="fixed_delay", max_retry_count="2", delay_interval="00:00:00")
        def yearly(timer: func.TimerRequest, context: func.Context) -> None:
            SEEN.append(context.retry_context.retry_count)
            if len(SEEN) < 4:
                raise ValueError
    """
    async with DevelopmentHost(an_app(tmp_path, code)) as host:
        function_app = the_app()

        with pytest.raises(FunctionFailed, match="ValueError"):
            await host.invoke_timer("yearly")
        assert function_app.SEEN == [0, 1, 2]


async def test_a_value_from_a_function_without_return_binding_is_an_error(tmp_path: Path) -> None:
    code = """
        @app.timer_trigger(arg_name="timer", schedule="0 0 0 1 1 *")
        def yearly(timer: func.TimerRequest): return 1
    """
    async with DevelopmentHost(an_app(tmp_path, code)) as host:
        with pytest.raises(FunctionFailed, match="non-None"):
            await host.invoke_timer("yearly")


# --- the status


SCHEDULE = Ncrontab.parse("0 0 3 * * *")
YESTERDAY = SCHEDULE.after(datetime.now(UTC) - timedelta(days=2))


def a_status(**changes: datetime) -> TimerStatus:
    due = SCHEDULE.after(YESTERDAY)
    return replace(TimerStatus(YESTERDAY, due, YESTERDAY), **changes)


class Listening:
    """A listener of a timer whose runs end when the test says so."""

    def __init__(self, schedule: str = "0 0 3 * * *", *, on_startup: bool = False) -> None:
        parsed = Ncrontab.parse(schedule)
        timer = TimerSchedule(parsed, on_startup, not parsed.is_within_a_minute)
        self.statuses = TimerStatuses()
        self.runs: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.results: asyncio.Queue[Exception | None] = asyncio.Queue()
        function = AppFunction("nightly", timer, {}, None, None)
        invoker = Invoker(self, HostOptions(), open_queue=lambda _: QueueInMemory())
        self.listener = TimerListener(function, timer, invoker, self.statuses)

    async def invoke(self, call: Call, timeout: timedelta | None) -> Result:  # noqa: ASYNC109
        await self.runs.put(json.loads(call.data.value))
        error = await self.results.get()
        if error:
            raise error
        return Result(None, {})

    async def kept(self) -> TimerStatus:
        found = await self.statuses.read("nightly")
        assert found
        return found

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        task = asyncio.create_task(self.listener.listen())
        try:
            yield
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task


async def test_a_missed_occurrence_runs_at_start() -> None:
    listening = Listening()
    missed = a_status()
    await listening.statuses.write("nightly", missed)
    async with listening.running():
        run = await listening.runs.get()
        assert (run["IsPastDue"], run["ScheduleStatus"]) == (True, missed.document())
        await listening.results.put(None)
        while await listening.kept() == missed:  # noqa: ASYNC110  # the store is what is looked at
            await asyncio.sleep(0)
    kept = await listening.kept()
    assert kept.last > missed.next
    assert kept.next == SCHEDULE.after(kept.last)


@pytest.mark.parametrize(
    "known", [None, a_status(last=NEVER), a_status(next=YESTERDAY + timedelta(hours=1))]
)
async def test_what_never_ran_or_has_a_new_schedule_is_not_past_due(
    known: TimerStatus | None,
) -> None:
    listening = Listening(on_startup=True)
    if known:
        await listening.statuses.write("nightly", known)
    async with listening.running():
        run = await listening.runs.get()
    assert not run["IsPastDue"]
    assert run["ScheduleStatus"]["Next"] == SCHEDULE.after(datetime.now(UTC)).isoformat()
    if known is None:
        assert run["ScheduleStatus"]["Last"] == "0001-01-01T00:00:00+00:00"


async def test_an_overrun_is_followed_at_once_and_a_failed_run_counts() -> None:
    listening = Listening("* * * * * *")
    async with listening.running():
        first = await listening.runs.get()
        assert not first["ScheduleStatus"]  # it comes due within a minute: nothing is kept
        started = datetime.now(UTC)
        while datetime.now(UTC) < started + timedelta(seconds=1.2):  # noqa: ASYNC110  # an occurrence passes
            await asyncio.sleep(0.01)
        await listening.results.put(FunctionFailed("as asked"))
        async with asyncio.timeout(0.5):
            await listening.runs.get()
    assert await listening.statuses.read("nightly") is None


async def test_the_status_is_kept_in_storage(cloud: Cloud, certificate: LocalCertificate) -> None:
    async with azurite(certificate) as storage:
        settings = {
            "AzureWebJobsStorage__blobServiceUri": storage.blobs_url,
            "AzureWebJobsStorage__queueServiceUri": storage.queues_url,
            "AzureWebJobsStorage__credential": "managedidentity",
            "AzureWebJobsStorage__clientId": IDENTITY.client_id,
            "SSL_CERT_FILE": str(certificate.trust),
        }
        for known in (None, a_status()):  # the second host reads what the first kept
            connections = Connections(settings)
            statuses = connections.timer_statuses()
            assert await statuses.read("nightly") == known
            timers = ("nightly", "hourly", "daily")  # the first of them makes the container
            await asyncio.gather(*(statuses.write(each, a_status()) for each in timers))
            await connections.close()


def test_timers_need_the_blob_service() -> None:
    settings = {"AzureWebJobsStorage__queueServiceUri": "https://x"}
    with pytest.raises(ValueError, match="blobServiceUri"):
        Connections(settings).timer_statuses()
