"""The commands of the documents, as bash itself reads them.

Each document's blocks run one after the other in one shell, as an operator types them, with a
stand-in for every program: it writes down what it was called with, and prints `PRINTED`. So
quotes, variables, loops and substitutions are bash's own, and no program is run.
"""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[2]
DOCUMENTS: Final = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]
PRINTED: Final = "PRINTED"
"""What every stand-in prints."""
READERS_OWN: Final = {
    "LOGIN_URL": "https://login.microsoftonline.com",
    "BACKEND_CLIENT_ID": "the registration of the platform's backend",
    "BACKEND_SECRET": "its secret",
    "GRAPH": "a token for Graph",
    "CLIENT_ID": "in a URL",
}
"""Variables that a document uses and the reader sets."""

_FENCE: Final = re.compile(r"^( *)```(\w*)\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)
_INLINE: Final = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")
_CALLED: Final = re.compile(
    r"(?:^|[;&|(]|\b[A-Z_]+=\S*)[ \t]*([\w.-]+(?:/[\w.-]+)+)(?=\s|$)", re.MULTILINE
)
_BASH: Final = shutil.which("bash") or "bash"
_STUB: Final = f"""#!{_BASH}
names=($(compgen -e))
printf '%s\\0' "$IN_BLOCK" "${{names[*]}}" "$(($# + 1))" "$0" "$@" >> "$CALLS"
echo {PRINTED}
"""
BASH_VERSION: Final = int(
    subprocess.run(
        [_BASH, "-c", "echo ${BASH_VERSINFO[0]}"], capture_output=True, text=True, check=True
    ).stdout
)
_PREAMBLE: Final = f"""shopt -s expand_aliases
set -u
command_not_found_handle() {{
  local names=($(compgen -e))
  printf '%s\\0' "$IN_BLOCK" "${{names[*]}}" "$#" "$@" >> "$CALLS"
  echo {PRINTED}
}}
"""


@dataclass(frozen=True, slots=True)
class Block:
    """One fenced block, without the indentation of a list's item."""

    document: Path
    line: int
    language: str
    text: str

    @property
    def place(self) -> str:
        """Where it is, for messages."""
        return f"{self.document.relative_to(ROOT)}:{self.line}"


@dataclass(frozen=True, slots=True)
class Command:
    """One call of a program."""

    place: str
    words: tuple[str, ...]
    exported: frozenset[str] = frozenset()
    """Names of the variables that the program sees, beside the shell's own."""

    def __str__(self) -> str:
        """Return the place and the words."""
        return f"{self.place}: {' '.join(self.words)}"


def blocks_of(document: Path) -> list[Block]:
    """Return the fenced blocks of *document*."""
    text = document.read_text(encoding="utf-8")
    return [
        Block(
            document,
            text.count("\n", 0, found.start()) + 1,
            found[2],
            re.sub(rf"^{found[1]}", "", found[3], flags=re.MULTILINE),
        )
        for found in _FENCE.finditer(text)
    ]


def inline_of(document: Path) -> list[Block]:
    """Return what *document* has as code within sentences, each as a block."""
    text = document.read_text(encoding="utf-8")
    text = _FENCE.sub(lambda block: "\n" * block[0].count("\n"), text)
    return [
        # A table's cell has its bars escaped.
        Block(document, text.count("\n", 0, found.start()) + 1, "", found[1].replace(r"\|", "|"))
        for found in _INLINE.finditer(text)
    ]


def commands_of(blocks: Sequence[Block], folder: Path) -> list[Command]:
    """Run *blocks* with stand-ins in the empty *folder*; return the calls.

    Raises AssertionError: bash had something to say, as of a variable that nothing has set.
    """
    calls = folder / "calls"
    calls.touch()
    script = _PREAMBLE
    for number, block in enumerate(blocks):
        _put_stubs(block.text, folder)
        script += f"export IN_BLOCK={number}\n{block.text}\n"
    (folder / "script").write_text(script)
    done = subprocess.run(
        [_BASH, "--norc", "--noprofile", "script"],
        cwd=folder,
        env={"PATH": "/nowhere", "CALLS": str(calls), **READERS_OWN},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    places = ", ".join(block.place for block in blocks)
    assert (done.returncode, done.stderr) == (0, ""), f"{places}: {done.stderr}"
    return list(_read(calls.read_text().split("\0")[:-1], blocks))


def _put_stubs(text: str, folder: Path) -> None:
    """Put a stand-in at every path that *text* calls: bash looks for those itself."""
    for path in _CALLED.findall(text):
        stub = folder / path
        stub.parent.mkdir(parents=True, exist_ok=True)
        stub.write_text(_STUB)
        stub.chmod(0o755)


def _read(written: list[str], blocks: Sequence[Block]) -> Iterator[Command]:
    own = {"IN_BLOCK", "CALLS", "PATH", "PWD", "OLDPWD", "SHLVL", "_", *READERS_OWN}
    while written:
        block, exported, count, *written = written
        words, written = written[: int(count)], written[int(count) :]
        yield Command(blocks[int(block)].place, tuple(words), frozenset(exported.split()) - own)


def syntax_error(block: Block) -> str:
    """Return what `bash -n` says of *block*."""
    done = subprocess.run(
        [_BASH, "-n"],
        input=block.text,
        env={"PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stderr
