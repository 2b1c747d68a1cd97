import asyncio
from pathlib import Path

import pytest

from local.host.errors import FunctionFailed
from local.host.host import DevelopmentHost
from tests.local.host.apps import an_app, fetching, the_app

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
