"""docs/onboarding.md: its commands, run as they stand on a local cloud, bring what it says."""

import asyncio
import json
import os
from pathlib import Path

import pytest

from tests.docs.commands import BASH_VERSION, Block
from tests.docs.onboarding import DOCUMENT, Shell, Step, fits, named_steps, steps
from tests.e2e.slow_machine import TOOK_TOO_LONG
from tests.local.test_cli import running

pytestmark = pytest.mark.skipif(BASH_VERSION < 4, reason="bash 4 or newer is needed")

STEPS = 11
"""Steps by HTTP, the approval by two people."""


def test_every_step_says_what_comes() -> None:
    first, *others = steps()
    assert first.comes is None
    assert len(others) == STEPS + 1
    assert [each.commands.place for each in others if each.comes is None] == []
    assert len(named_steps()) == 9
    assert DOCUMENT.read_text().count("\n### ") == STEPS


async def test_northwind_is_taken_on_by_the_documents_own_commands(tmp_path: Path) -> None:
    folder, place = tmp_path / "cloud", tmp_path / "place"
    place.mkdir()
    environment = {**os.environ, "LOCAL_CLOUD_FOLDER": str(folder), "PYTHONUNBUFFERED": "1"}
    async with running(environment, "start") as (_, said):
        api = next(each for each in said.split() if each.endswith("/api"))
        shell = await Shell.started(place, environment, api)
        try:
            for step in steps():
                await follow(step, shell)
        finally:
            await shell.close()


async def follow(step: Step, shell: Shell) -> None:
    """Run the commands of *step*; repeat them for a while if they only read."""
    give_up_at = asyncio.get_running_loop().time() + 100
    output = await shell.run(step.commands.text)
    while step.comes and not fits(step.comes, output):
        where = f"{step.commands.place} prints {output}"
        assert step.may_repeat or TOOK_TOO_LONG in output, where
        assert asyncio.get_running_loop().time() < give_up_at, where
        output = await shell.run(step.commands.text)


@pytest.mark.parametrize(
    ("shown", "answer", "is_same"),
    [
        ('{"a": 1}', {"a": 1, "b": 2}, True),
        ('{"a": 1}', {"a": 2}, False),
        ('{"a": 1}', {"b": 1}, False),
        ('["a"]', ["a", "b"], False),
        ('["a", "…"]', ["a", "b"], True),
        ('["a", "…"]', [], False),
        ('{"a": "x…z"}', {"a": "xyz"}, True),
        ('{"a": "x…z"}', {"a": "xyy"}, False),
        ('{"a": "…"}', {"a": None}, False),
        ('{"a": true}', {"a": "true"}, False),
    ],
)
def test_another_answer_than_the_documents_is_found(
    shown: str, answer: object, is_same: bool
) -> None:
    assert fits(Block(DOCUMENT, 1, "json", shown), json.dumps(answer)) is is_same


@pytest.mark.parametrize(
    ("shown", "output", "is_same"),
    [
        ("Done\n…\n", "Done\nand more\n", True),
        ("Done\n", "Done\nand more\n", False),
        ("Done.", "Done!", False),
        ("{}", "{}", True),
    ],
)
def test_another_text_than_the_documents_is_found(shown: str, output: str, is_same: bool) -> None:
    assert fits(Block(DOCUMENT, 1, "text", shown), output) is is_same
    assert not fits(Block(DOCUMENT, 1, "json", "{}"), "no JSON")
