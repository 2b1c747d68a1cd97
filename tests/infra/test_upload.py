"""Uploading the built package and checking what runs: real curl against a scripted server."""

import json
import shutil
import subprocess
import sys
import threading
import zipfile
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final

import pytest

from tests.infra.scripts import INFRA, put_program, run_script

DIGEST: Final = "ab" * 32
_AZ: Final = f"""#!{sys.executable}
import os, sys
if sys.argv[1:3] == ["resource", "show"]:
    print(os.environ["SCM"])
elif os.environ.get("NO_TOKEN"):
    sys.exit("AADSTS501051")
else:
    print("arm-token" if "--scope" not in sys.argv else "app-token")
"""
# The server has no certificate; all else is curl's own.
_CURL: Final = f"""#!/usr/bin/env bash
exec {shutil.which("curl")} "${{@/#https:/http:}}"
"""


class Azure(ThreadingHTTPServer):
    """Answers by what a test has set for each path, the last one again and again."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answers: dict[str, list[tuple[int, str]]] = {}
        self.seen: list[tuple[str, str, bytes]] = []

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    server: Azure

    def do_GET(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.server.seen.append((self.path, self.headers.get("Authorization", ""), body))
        answers = self.server.answers[self.path.split("?")[0]]
        status, text = answers.pop(0) if len(answers) > 1 else answers[0]
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())

    def do_POST(self) -> None:
        self.do_GET()

    def log_message(self, *_: Any) -> None:
        """Print nothing."""


Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def azure() -> Iterator[Azure]:
    with Azure() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def run(tmp_path: Path, azure: Azure) -> Run:
    """Provide a run of a script with a package at hand."""
    put_program(tmp_path, "az", _AZ)
    put_program(tmp_path, "curl", _CURL)
    with zipfile.ZipFile(tmp_path / "package.zip", "w") as package:
        package.writestr("build.json", json.dumps({"package": DIGEST, "python": "3.13"}))
    quick = {"POLL_SECONDS": "0.01", "POLLS": "5", "RETRIES": "3", "RETRY_SECONDS": "0"}

    def run_it(script: str, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
        given = (*arguments, str(tmp_path / "package.zip"))
        return run_script(
            INFRA / script, *given, programs=tmp_path, SCM=azure.host, **quick, **more
        )

    return run_it


def test_the_package_is_uploaded_as_it_is(run: Run, azure: Azure, tmp_path: Path) -> None:
    azure.answers = {
        "/api/publish": [(202, '"1234-ab"')],
        "/api/deployments/1234-ab": [(200, '{"status": 1}'), (200, '{"status":4}')],
    }
    done = run("upload.sh", "group", "app")
    assert done.returncode == 0, done.stderr
    assert "Deployed." in done.stdout
    path, token, body = azure.seen[0]
    assert "RemoteBuild=false" in path
    assert token == "Bearer arm-token"
    assert body == (tmp_path / "package.zip").read_bytes()


@pytest.mark.parametrize(
    ("publish", "state", "says"),
    [
        ((403, "no"), None, "Website Contributor"),
        ((409, "busy"), None, "Another deployment"),
        ((500, "oops"), None, "failed with 500: oops"),
        ((202, '"1"'), (200, '{"status": 3}'), "/api/deployments/1/log"),
        ((202, '"1"'), (200, '{"status": 5}'), "took its place"),
        ((202, '"1"'), (200, '{"status": 6}'), "in part"),
        ((202, '"1"'), (502, "<html>"), "has not ended"),
    ],
)
def test_a_deployment_that_fails_is_said(
    run: Run, azure: Azure, publish: tuple[int, str], state: tuple[int, str] | None, says: str
) -> None:
    azure.answers = {"/api/publish": [publish], "/api/deployments/1": [state or (500, "")]}
    done = run("upload.sh", "group", "app")
    assert done.returncode == 1
    assert says in done.stderr
    assert "token" not in done.stdout + done.stderr


def test_an_answer_without_an_id_is_followed_by_the_latest(run: Run, azure: Azure) -> None:
    azure.answers = {
        "/api/publish": [(202, "")],
        "/api/deployments/latest": [(200, '{"status": 4}')],
    }
    assert run("upload.sh", "group", "app").returncode == 0


def details(package: str | None) -> str:
    return json.dumps({"status": "ok", "version": "1.0.0", "python": "3.13.1", "package": package})


def test_what_runs_is_compared_with_what_was_built(run: Run, azure: Azure) -> None:
    azure.answers = {
        "/api/health": [(503, ""), (200, '{"status": "ok"}')],
        # The instances are replaced one by one.
        "/api/health/details": [(200, details("cd" * 32)), (200, details(DIGEST))],
    }
    done = run("smoke.sh", f"https://{azure.host}/", "client")
    assert done.returncode == 0, done.stderr
    assert DIGEST in done.stdout
    assert [token for path, token, _ in azure.seen if path == "/api/health/details"] == [
        "Bearer app-token"
    ] * 2


@pytest.mark.parametrize("package", ["cd" * 32, None])
def test_another_package_is_no_success(run: Run, azure: Azure, package: str | None) -> None:
    azure.answers = {
        "/api/health": [(200, "{}")],
        "/api/health/details": [(200, details(package))],
    }
    done = run("smoke.sh", f"https://{azure.host}", "client")
    assert done.returncode == 1
    assert "not what was built" in done.stderr


def test_a_deployment_that_is_down_or_cannot_be_asked_is_said(run: Run, azure: Azure) -> None:
    azure.answers = {"/api/health": [(503, "{}")]}
    down = run("smoke.sh", f"https://{azure.host}", "client")
    assert down.returncode == 1
    assert "does not work" in down.stderr
    azure.answers = {"/api/health": [(200, "{}")]}
    deaf = run("smoke.sh", f"https://{azure.host}", "client", NO_TOKEN="1")
    assert deaf.returncode == 1
    assert "Platform.Manage" in deaf.stderr
