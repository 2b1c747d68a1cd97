"""What is known of each program that the documents call: its parts, its options, its routes."""

import functools
import importlib.util
import json
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

from tests.docs.commands import PRINTED, ROOT, Command
from tests.docs.routes import UnknownOption, complaints_of, request_of

Check = Callable[[Command], Iterator[str]]

_MAKEFILE: Final = (ROOT / "Makefile").read_text()
_PARSED_ONLY: Final = """
import argparse, runpy, sys
parse = argparse.ArgumentParser.parse_args
def stop(*args, **kwargs):
    parse(*args, **kwargs)
    sys.exit()
argparse.ArgumentParser.parse_args = stop
module = sys.argv.pop(1)
runpy.run_module(module, run_name="__main__", alter_sys=True)
"""
"""Runs a module until its own parser has read the arguments."""
_OTHERS: Final[Mapping[tuple[str, ...], frozenset[str]]] = {
    # https://learn.microsoft.com/azure/storage/common/storage-use-azcopy-authorize-azure-active-directory
    ("azcopy", "login"): frozenset(),
    # https://learn.microsoft.com/azure/azure-functions/functions-core-tools-reference#func-start
    ("func", "start"): frozenset({"--port", "--useHttps", "--cert", "--password"}),
    # https://cli.github.com/manual/gh_attestation_verify
    ("gh", "attestation", "verify"): frozenset({"--repo"}),
    # https://learn.microsoft.com/azure/developer/azure-developer-cli/reference
    ("azd", "up"): frozenset(),
    ("azd", "env", "set"): frozenset(),
    # https://docs.npmjs.com/cli/commands
    ("npm", "ci"): frozenset({"--prefix", "--ignore-scripts"}),
    ("npm", "install"): frozenset({"--prefix"}),
    ("npm", "audit", "fix"): frozenset({"--prefix", "--package-lock-only"}),
}
"""Programs that are not at hand where the tests run, with the options that the documents use."""


def complaints(command: Command) -> list[str]:
    """Return what is wrong with *command*."""
    check = CHECKS.get(command.words[0])
    if check is None:
        return [f"{command}: an unknown program: teach the test or mend the document"]
    return [f"{command}: {complaint}" for complaint in check(command)]


def _make(command: Command) -> Iterator[str]:
    """Check that targets and variables are the Makefile's, and `ARGS` those of what it runs."""
    targets = [word for word in command.words[1:] if "=" not in word]
    for target in targets:
        if not re.search(rf"^{re.escape(target)}:", _MAKEFILE, re.MULTILINE):
            yield f"no target {target}"
    for name, _, value in (word.partition("=") for word in command.words[1:] if "=" in word):
        if not re.search(rf"\$\(({name})\b|\$\$\{{{name}\b|^{name} ", _MAKEFILE, re.MULTILINE):
            yield f"no variable {name}"
        if name == "ARGS":
            for target in targets:
                runs = ("deployment",) if target == "package" else ("local", target)
                yield from _module(*runs, *shlex.split(value))


def _python(command: Command) -> Iterator[str]:
    match command.words[1:]:
        case ("-c", code):
            compile(code, "-c", "exec")
        case ("-m", "pytest", *arguments):
            yield from _collects(arguments)
        case ("-m", module, *arguments):
            yield from _module(module, *arguments)
        case _:
            yield "neither -c nor -m"


def _own_python(command: Command) -> Iterator[str]:
    if command.words[1:2] == ("-c",):
        yield "a program of the project needs no -c"
    yield from _python(command)


@functools.cache
def _module(name: str, *arguments: str) -> Sequence[str]:
    """Have the module's own parser read *arguments*; without one, look for them in its code."""
    source = _source_of(name)
    if source is None:
        return [f"no module {name}"]
    if "import argparse" in source:
        done = subprocess.run(
            [sys.executable, "-c", _PARSED_ONLY, name, *arguments],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
        return [done.stderr.strip()] if done.returncode else []
    if arguments and "sys.argv" not in source:
        return [f"{name} reads no arguments"]
    return [f"no option {a}" for a in arguments if a[0] == "-" and f'"{a}"' not in source]


def _source_of(module: str) -> str | None:
    """Return the source that `python -m` runs; None if it is not the repository's."""
    path = ROOT.joinpath(*module.split("."))
    for each in (path / "__main__.py", path.with_suffix(".py")):
        if each.is_file():
            return each.read_text()
    return None


def _collects(arguments: Sequence[str]) -> Iterator[str]:
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "--collect-only", "-q", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        yield f"{done.stdout}{done.stderr}".strip()


def _bash(command: Command) -> Iterator[str]:
    """Check that the script exists, and that a usage at its head has these arguments."""
    script, arguments = ROOT / command.words[1], list(command.words[2:])
    if not script.is_file():
        yield "no such script"
        return
    usages = re.findall(
        rf"^# .*?{re.escape(command.words[1])}(.*)$", script.read_text(), re.MULTILINE
    )
    if not usages:
        yield "the script's head has no usage"
    elif not any(_fits(usage, arguments) for usage in usages):
        yield f"the usage is{' or'.join(usages)}"


def _fits(usage: str, arguments: list[str]) -> bool:
    """Return whether *arguments* are as *usage* has them: `NAME word [OPTIONAL] [word]`."""
    pattern = ""
    for optional, name in re.findall(r"(\[?)([\w-]+)\]?", re.split(r"\s{2,}", usage.strip())[0]):
        word = r"\S+" if name.isupper() else re.escape(name)
        pattern += f"( {word})?" if optional else f" {word}"
    return bool(re.fullmatch(pattern, "".join(f" {argument}" for argument in arguments)))


def _node(command: Command) -> Iterator[str]:
    script = ROOT / command.words[1]
    if not script.is_file():
        yield "no such script"
        return
    options = re.search(r"parseArgs\(\{\s*options: \{(.*?)\n  \}", script.read_text(), re.DOTALL)
    known = (
        set(re.findall(r'^    "?([\w-]+)"?: \{', options[1], re.MULTILINE)) if options else set()
    )
    for word in command.words[2:]:
        if word.startswith("--") and word[2:] not in known:
            yield f"no option {word}"


def _page_deployment(command: Command) -> Iterator[str]:
    """Check that the workflow calls the program in the same way, and a lock file has it."""
    workflow = (ROOT / ".github" / "workflows" / "deploy.yml").read_text()
    if f"- run: {' '.join(command.words)}\n" not in workflow:
        yield "the workflow calls it in another way"
    if not (ROOT / command.words[0].partition("node_modules")[0] / "package-lock.json").is_file():
        yield "it is in no lock file"


def _copy(command: Command) -> Iterator[str]:
    if not (ROOT / command.words[1]).is_file():
        yield f"no file {command.words[1]}"


def _other(command: Command) -> Iterator[str]:
    """Check that `_OTHERS` has the command and its options, and a folder of npm's a lock."""
    for words, options in _OTHERS.items():
        if command.words[: len(words)] == words:
            used = {word for word in command.words if word.startswith("-")}
            yield from (f"teach the test the option {each}" for each in sorted(used - options))
            break
    else:
        yield "teach the test this command, or mend the document"
    if "--prefix" in command.words:
        folder = command.words[command.words.index("--prefix") + 1]
        if not folder.isupper() and not (ROOT / folder / "package-lock.json").is_file():
            yield f"no lock file in {folder}"


# --- az: the CLI itself reads them in `make az-check`


def az_reader() -> Any:
    """Return `infra/check_az.py`, which shows the documents' commands to the CLI's own parser."""
    spec = importlib.util.spec_from_file_location("check_az", ROOT / "infra" / "check_az.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def az_form(words: Sequence[str]) -> tuple[str, ...]:
    """Return the command's name and its options, without their values."""
    name = next((n for n, word in enumerate(words) if word.startswith("-")), len(words))
    return (*words[:name], *(word for word in words[name:] if word.startswith("-")))


def _az(command: Command) -> Iterator[str]:
    """Check that `make az-check` reads the command, and that what is sent to Graph is JSON."""
    reader, document = az_reader(), ROOT / command.place.partition(":")[0]
    if document not in reader.SOURCES:
        yield "infra/check_az.py does not read this document"
    text = document.read_text()
    seen = {az_form(shlex.split(each)) for each in (*reader.commands(text), *reader.names(text))}
    if az_form(command.words[1:]) not in seen:
        yield "infra/check_az.py does not see it"
    if "--body" in command.words:
        json.loads(command.words[command.words.index("--body") + 1])


def _curl(command: Command) -> Iterator[str]:
    """Check that the options are curl's, and that the route takes the query and the body."""
    try:
        request = request_of(command.words)
    except UnknownOption as unknown:
        yield f"teach the test the option {unknown}"
    else:
        yield from complaints_of(request)


def _printed(_: Command) -> Iterator[str]:
    """Take what a command printed, which is evaluated."""
    return iter(())


CHECKS: Final[Mapping[str, Check]] = {
    "make": _make,
    "python": _own_python,
    "python3": _python,
    ".venv/bin/python": _own_python,
    "bash": _bash,
    "node": _node,
    "cp": _copy,
    "az": _az,
    "curl": _curl,
    PRINTED: _printed,
    ".github/page-deployment/node_modules/.bin/swa": _page_deployment,
    **{words[0]: _other for words in _OTHERS},
}
