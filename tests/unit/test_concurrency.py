"""Concurrent calls: results in order, the first error itself, nothing left running."""

import asyncio

import pytest

from shared.concurrency import gather_both, gather_limited


async def test_both_run_at_the_same_time() -> None:
    met = asyncio.Barrier(2)

    async def one() -> int:
        await met.wait()
        return 1

    async def other() -> str:
        await met.wait()
        return "2"

    assert await asyncio.wait_for(gather_both(one(), other()), timeout=100) == (1, "2")


@pytest.mark.parametrize("is_first", [True, False])
async def test_error_of_one_is_raised_itself_and_cancels_the_other(*, is_first: bool) -> None:
    waiting, ended = asyncio.Event(), list[str]()

    async def fails() -> None:
        await waiting.wait()
        raise LookupError("gone") from OSError("no route")

    async def waits() -> None:
        waiting.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("cancelled")

    calls = (fails(), waits()) if is_first else (waits(), fails())
    with pytest.raises(LookupError) as failed:
        await gather_both(*calls)
    assert ended == ["cancelled"]
    assert isinstance(failed.value.__cause__, OSError)
    assert len(asyncio.all_tasks()) == 1


async def test_error_of_many_keeps_its_cause() -> None:
    async def fails() -> None:
        raise LookupError("gone") from OSError("no route")

    with pytest.raises(LookupError) as failed:
        await gather_limited([fails(), asyncio.Event().wait()])
    assert isinstance(failed.value.__cause__, OSError)
