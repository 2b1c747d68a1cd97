"""Every command of the documents: bash reads it, and what it calls exists and takes it.

`tests/docs/commands.py` has the commands as bash reads them, `tests/docs/programs.py` what is
known of each program. A program that is not known fails: teach the test or mend the document.
"""

import ast
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from aiohttp.test_utils import TestClient, TestServer

from tests.docs.commands import (
    BASH_VERSION,
    DOCUMENTS,
    ROOT,
    Block,
    Command,
    blocks_of,
    commands_of,
    inline_of,
    syntax_error,
)
from tests.docs.powershell import cmdlets_of, complaints_of
from tests.docs.programs import CHECKS, az_reader, complaints
from tests.docs.routes import entra, is_route, request_of

pytestmark = pytest.mark.skipif(
    BASH_VERSION < 4, reason="bash 4 or newer is needed to read the documents' commands"
)

LANGUAGES = {
    "sh": "every command is checked here",
    "powershell": "every cmdlet is checked here",
    "python": "it is Python; tests of the simulators run what it shows",
    "kusto": "tests/infra/test_queries.py",
    "json": "a reply, shortened",
    "text": "what a command prints; tests/docs/test_onboarding.py",
    "html": "a tag for another page",
    "mermaid": "a drawing",
}
"""What a block may be, and how it is checked."""
BLOCKS = {document: blocks_of(document) for document in DOCUMENTS}


def each(documents: Iterable[Path]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize(
        "document", list(documents), ids=lambda document: str(document.relative_to(ROOT))
    )


def each_with(language: str) -> pytest.MarkDecorator:
    """Return the mark of a test of each document that has blocks of *language*."""
    return each(document for document in DOCUMENTS if of(document, language))


def of(document: Path, language: str) -> list[Block]:
    return [block for block in BLOCKS[document] if block.language == language]


def in_sentences(document: Path) -> list[Block]:
    """Return the commands within the sentences of *document*; a program's name alone is none."""
    programs = [re.escape(program) for program in CHECKS]
    command = re.compile(rf"(?:[A-Z_]+=\S+ )*(?:{'|'.join(programs)}) \S")
    return [block for block in inline_of(document) if command.match(block.text)]


def routes_in(document: Path) -> list[tuple[str, str]]:
    """Return method and path of each request that a sentence of *document* names."""
    named = re.compile(r"(GET|POST|PUT|PATCH|DELETE|HEAD) (?!https:)(\S+)")
    found = (named.fullmatch(block.text) for block in inline_of(document))
    return [(each[1], each[2]) for each in found if each]


def wrong(commands: Sequence[Command]) -> list[str]:
    return [complaint for command in commands for complaint in complaints(command)]


@each(document for document in DOCUMENTS if "```" in document.read_text())
def test_every_block_says_what_it_is(document: Path) -> None:
    assert [b.place for b in BLOCKS[document] if b.language not in LANGUAGES] == []
    assert document.read_text().count("```") == 2 * len(BLOCKS[document])


@each_with("sh")
def test_bash_reads_every_block(document: Path) -> None:
    faults = {block.place: syntax_error(block) for block in of(document, "sh")}
    assert {place: fault for place, fault in faults.items() if fault} == {}


@each_with("sh")
def test_every_command_of_a_block_is_one_that_its_program_takes(
    document: Path, tmp_path: Path
) -> None:
    commands = commands_of(of(document, "sh"), tmp_path)
    assert wrong(commands) == []
    # Setting up makes no program of this name, and many machines have none.
    assert [command for command in commands if command.words[0] == "python"] == []


@each(document for document in DOCUMENTS if in_sentences(document))
def test_every_command_in_a_sentence_is_one_that_its_program_takes(
    document: Path, tmp_path: Path
) -> None:
    assert wrong(commands_of(in_sentences(document), tmp_path)) == []


@each_with("sh")
def test_every_variable_that_is_exported_is_read_somewhere(document: Path, tmp_path: Path) -> None:
    exported = {n for c in commands_of(of(document, "sh"), tmp_path) for n in c.exported}
    readers = [
        *(ROOT / "infra").rglob("*.sh"),
        *(ROOT / "infra").glob("*.bicepparam"),
        *(ROOT / ".github" / "workflows").glob("*.yml"),
        *(ROOT / "scripts").rglob("*.py"),
    ]
    text = "".join(path.read_text() for path in readers)
    assert [name for name in exported if not re.search(rf"\b{name}\b", text)] == []


@each_with("powershell")
def test_every_cmdlet_is_known_and_its_module_installed(document: Path) -> None:
    assert complaints_of(of(document, "powershell")) == []


@each(document for document in DOCUMENTS if routes_in(document))
def test_every_route_that_a_sentence_names_is_there(document: Path) -> None:
    assert [route for route in routes_in(document) if not is_route(*route)] == []


@pytest.mark.parametrize(
    "route",
    [
        ("GET", "/api/session"),
        ("PUT", "sessions/{id}"),
        ("POST", "…/cancelled"),
        ("GET", "users/BEN/meetings"),
    ],
)
def test_a_route_that_is_not_there_is_found(route: tuple[str, str]) -> None:
    assert not is_route(*route)
    assert is_route("POST", "/api/sessions/{id}/cancel")


async def test_what_the_documents_tell_the_simulated_entra_is_taken(tmp_path: Path) -> None:
    commands = commands_of(of(ROOT / "docs" / "local-cloud.md", "sh"), tmp_path)
    requests = [request_of(c.words) for c in commands if c.words[0] == "curl"]
    assert len(requests) > 1
    async with TestClient(TestServer(entra())) as client:
        for each in requests:
            reply = await client.request(each.method, urlsplit(each.url).path, json=each.body)
            assert reply.status == 200, await reply.text()


@each_with("python")
def test_every_python_block_is_python(document: Path) -> None:
    for block in of(document, "python"):
        compile(block.text, block.place, "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)


def test_commands_are_found_at_all(tmp_path: Path) -> None:
    blocks = [block for document in DOCUMENTS for block in of(document, "sh")]
    sentences = [block for document in DOCUMENTS for block in in_sentences(document)]
    cmdlets = [c for d in DOCUMENTS for block in of(d, "powershell") for c in cmdlets_of(block)]
    assert len(blocks) > 15
    assert len(sentences) > 40
    assert len(cmdlets) > 15
    reader = az_reader()
    assert {d for d in DOCUMENTS if "az " in d.read_text()} - set(reader.SOURCES) <= {
        ROOT / "CHANGELOG.md"
    }


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("make strat", "no target strat"),
        ("make start AGRS=--keep", "no variable AGRS"),
        ("make start ARGS=--kept", "unrecognized arguments: --kept"),
        (".venv/bin/python -m local tokn ben", "invalid choice: 'tokn'"),
        (".venv/bin/python -m scripts.requeu x jobs", "no module scripts.requeu"),
        (".venv/bin/python -m pytest tests/unit/test_nothing.py", "file or directory not found"),
        ("bash infra/secret.sh VAULT", "no such script"),
        ("bash infra/secrets.sh VAULT rotat", "the usage is"),
        ("bash infra/smoke.sh https://HOST", "the usage is"),
        ("node web/configure.mjs --pages web/dist", "no option --pages"),
        ("npm ci --prefix webb", "no lock file in webb"),
        ("npm ci --force", "teach the test the option --force"),
        ("cp infra/devel.bicepparam x", "no file infra/devel.bicepparam"),
        ("az group create --name a --region b", "does not see it"),
        ("curl https://HOST/api/session", "no route GET /session"),
        ("curl -X DELETE https://HOST/api/sessions/ID", "no route DELETE /sessions/ID"),
        ("curl 'https://HOST/api/pairings/P/availability?minutes=3'", "no parameter minutes"),
        ("""curl https://HOST/api/pairings/P/sessions -d '{"begin": 1}'""", "no field begin"),
        ("curl -X POST https://localhost:1/_control/error", "no route POST /_control/error"),
        ("curl --insecure https://HOST/api/me", "teach the test the option --insecure"),
        ("for each in a; do wget $each; done", "an unknown program: teach the test"),
        ("func start --prot 1", "teach the test the option --prot"),
    ],
)
def test_a_wrong_command_is_found(tmp_path: Path, text: str, says: str) -> None:
    block = Block(ROOT / "docs" / "deploy.md", 1, "sh", text)
    found = wrong(commands_of([block], tmp_path))
    assert [each for each in found if says in each and each.startswith("docs/deploy.md:1: ")], found


def test_a_variable_that_nothing_sets_is_found(tmp_path: Path) -> None:
    block = Block(ROOT / "README.md", 1, "sh", 'make start ARGS="$PORTT"')
    with pytest.raises(AssertionError, match="PORTT: unbound variable"):
        commands_of([block], tmp_path)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("Get-MgServicePrincipals -Filter a", "an unknown cmdlet: Get-MgServicePrincipals"),
        ("Get-MgServicePrincipal -Where a", "no parameter -Where of Get-MgServicePrincipal"),
        ("Get-MgServicePrincipal -Filter a", "nothing installs Microsoft.Graph.Applications"),
        ("Install-Module A -Scope CurrentUser\nWrite-Output $app", "nothing sets $app"),
    ],
)
def test_a_wrong_cmdlet_is_found(text: str, says: str) -> None:
    block = Block(ROOT / "docs" / "admin-guide.md", 1, "powershell", text)
    assert any(says in complaint for complaint in complaints_of([block]))
