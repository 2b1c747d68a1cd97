"""The commands of docs/onboarding.md, in one shell, and what the document says of each answer."""

import asyncio
import json
import os
import re
import shlex
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

from tests.docs.commands import ROOT, Block, blocks_of

DOCUMENT: Final = ROOT / "docs" / "onboarding.md"
DIFFERS: Final = "…"
"""Stands for what differs: within a text, for a text, or for further items at a list's end."""
_ADDRESS: Final = "https://localhost:7071/api"
"""Where the document has the API; another one if that port was taken."""


@dataclass(frozen=True, slots=True)
class Step:
    """Commands, and what comes of them; None if the document shows nothing."""

    commands: Block
    comes: Block | None

    @property
    def may_repeat(self) -> bool:
        """Whether the commands only read."""
        return not re.search(r" -X |\$\(noor|\bapprove\b|\bact\b", self.commands.text)


def steps() -> list[Step]:
    """Return the document's commands in order, each with the block after it."""
    blocks = blocks_of(DOCUMENT)
    shown = {
        index: following
        for index, following in enumerate(blocks[1:])
        if following.language in {"json", "text"}
    }
    return [
        Step(block, shown.get(index))
        for index, block in enumerate(blocks)
        if block.language == "sh"
    ]


def named_steps() -> list[str]:
    """Return the names of the steps by the pages."""
    return re.findall(r"^\d+\. \*\*(.+?)\.\*\* ", DOCUMENT.read_text(), re.MULTILINE)


def fits(comes: Block, output: str) -> bool:
    """Return whether *output* is what the document says."""
    if comes.language == "text":
        return _pattern(comes.text.strip()).fullmatch(output.strip()) is not None
    try:
        answer = json.loads(output)
    except ValueError:
        return False
    return _fits(json.loads(comes.text), answer)


def _fits(shown: Any, answer: Any) -> bool:
    match shown:
        case dict():
            return isinstance(answer, dict) and all(
                name in answer and _fits(each, answer[name]) for name, each in shown.items()
            )
        case [*some, last] if last == DIFFERS:
            return isinstance(answer, list) and _all_fit(some, answer[: len(some)])
        case list():
            return isinstance(answer, list) and _all_fit(shown, answer)
        case str() if DIFFERS in shown:
            return isinstance(answer, str) and _pattern(shown).fullmatch(answer) is not None
        case _:
            return bool(shown == answer)


def _all_fit(shown: list[Any], answer: list[Any]) -> bool:
    return len(shown) == len(answer) and all(map(_fits, shown, answer))


def _pattern(shown: str) -> re.Pattern[str]:
    return re.compile(".+".join(map(re.escape, shown.split(DIFFERS))), re.DOTALL)


class Shell:
    """One bash, which keeps its variables from block to block, as a reader's terminal does."""

    def __init__(self, process: asyncio.subprocess.Process, api: str) -> None:
        self._process = process
        self._api = api

    @classmethod
    async def started(cls, folder: Path, environment: Mapping[str, str], api: str) -> Self:
        """Start it in the empty *folder*, which gets the names that the document uses."""
        (folder / ".venv").symlink_to(sys.prefix)
        (folder / ".local").symlink_to(environment["LOCAL_CLOUD_FOLDER"])
        process = await asyncio.create_subprocess_exec(
            *("bash", "--norc", "--noprofile"),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            limit=2**24,
            cwd=folder,
            env={**os.environ, **environment, "PYTHONPATH": str(ROOT)},
        )
        shell = cls(process, api)
        await shell.run("shopt -s expand_aliases")
        return shell

    async def run(self, commands: str) -> str:
        """Run *commands* and return what they print, errors too."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        mark = f"END {os.urandom(8).hex()}"
        text = commands.replace(_ADDRESS, self._api)
        self._process.stdin.write(f"{text}\necho; echo {shlex.quote(mark)}\n".encode())
        await self._process.stdin.drain()
        printed = await self._process.stdout.readuntil(f"\n{mark}\n".encode())
        return printed.decode().removesuffix(f"\n{mark}\n")

    async def close(self) -> None:
        """End it."""
        assert self._process.stdin is not None
        with suppress(ConnectionError):
            self._process.stdin.close()
        await self._process.wait()
