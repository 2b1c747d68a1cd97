"""Shows every `az` command of the docs and scripts to the real CLI's parser. Calls nothing.

Slow and large, so not part of `make test`: `make az-check` puts azure-cli into a place of its own.
"""

import contextlib
import io
import re
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
SOURCES = (
    *sorted((ROOT / "docs").glob("*.md")),
    *sorted(ROOT.glob("*.md")),
    *sorted((ROOT / "infra").rglob("*.sh")),
    *sorted((ROOT / ".github" / "workflows").glob("*.yml")),
)
_VALUE = re.compile(r"\$\{\{[^}]*\}\}|\$\{[^}]*\}|\$\w+")


def commands(text: str) -> Iterator[str]:
    """Yield every az command in *text*, with VALUE where the shell would put one."""
    joined = re.sub(r"\\\n\s*", " ", text)
    for match in re.finditer(r"(?<![\w/.'-])az (?!login(?! --)|rest` )(?=[a-z])", joined):
        command = _until_it_ends(joined[match.end() :])
        line = joined[joined.rfind("\n", 0, match.start()) + 1 : match.start()]
        if line.replace('\\"', "").count('"') % 2:  # in a message, which a quote ends
            command = re.split('[";)]', joined[match.end() :], maxsplit=1)[0]
        if " -" in command:  # else a mention in a sentence
            # These arguments' JSON is read while it is parsed.
            command = command.replace('accesses "$required"', "accesses '[]'")
            command = command.replace('parameters "$credential"', "parameters '{}'")
            yield _VALUE.sub("VALUE", command)


def names(text: str) -> Iterator[str]:
    """Yield the name of every az command that a sentence of *text* has without its options."""
    yield from re.findall(r"`az ([a-z]+(?:[ -][a-z0-9]+)*)`", text)


def _until_it_ends(text: str) -> str:
    """Return the shell's words at the start of *text*."""
    words, quote, index = "", "", 0
    while index < len(text):
        char = text[index]
        if quote:
            quote = "" if char == quote and text[index - 1] != "\\" else quote
        elif char in "\"'":
            quote = char
        elif text.startswith("<(", index):
            index = text.index(")", index) + 1
            words += "FILE"
            continue
        elif char in "|;&)>\n`":
            break
        words += char
        index += 1
    return re.sub(r"\s\d$", "", words).strip()


def _invocation(cli: Any, arguments: list[str]) -> Any:
    """Return an invocation whose loader has the commands that *arguments* begin with."""
    invocation = cli.invocation_cls(
        cli_ctx=cli,
        parser_cls=cli.parser_cls,
        commands_loader_cls=cli.commands_loader_cls,
        help_cls=cli.help_cls,
    )
    cli.invocation = invocation
    invocation.commands_loader.load_command_table(arguments)
    return invocation


def no_command(cli: Any, name: str) -> str | None:
    """Return why azure-cli has no command *name*, or None."""
    invocation = _invocation(cli, name.split())
    return None if name in invocation.commands_loader.command_table else "no such command"


def refusal(cli: Any, command: str) -> str | None:
    """Return why azure-cli would not take *command*, or None."""
    arguments = shlex.split(command)
    invocation = _invocation(cli, arguments)
    loader = invocation.commands_loader
    name = invocation._rudimentary_get_command(arguments)
    invocation.data["command_string"] = name
    if name not in loader.command_table:
        return f"no such command: {name or command}"
    loader.command_table = {name: loader.command_table[name]}
    loader.load_arguments(name)
    invocation.parser.cli_ctx = cli
    invocation.parser.load_command_table(loader)
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            invocation.parser.parse_args(arguments)
    except SystemExit:
        return said.getvalue().strip() or "refused"
    return None


def main() -> int:
    """Check all; return how many were refused."""
    from azure.cli.core import get_default_cli

    refused = checked = 0
    for source in SOURCES:
        text = source.read_text()
        asked = [(refusal, each) for each in commands(text)]
        for check, command in [*asked, *((no_command, each) for each in names(text))]:
            checked += 1
            try:
                why = check(get_default_cli(), command)
            except Exception as error:  # noqa: BLE001  # azure-cli refuses in many classes
                why = f"{type(error).__name__}: {error}"
            if why:
                refused += 1
                print(f"{source.relative_to(ROOT)}: az {command}\n    {why}")
    print(f"{checked} commands, {refused} refused")
    return min(refused, 1) or int(checked == 0)


if __name__ == "__main__":
    sys.exit(main())
