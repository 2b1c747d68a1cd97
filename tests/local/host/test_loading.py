import logging
from pathlib import Path

import pytest

from local.host.errors import AppRefused, FunctionRefused, HostRefused, WorkerRefused
from local.host.host import DevelopmentHost
from tests.local.host.apps import BUNDLE, HOST_JSON, STORAGE, an_app, fetching

HTTP = "@app.route('it')\n"
OK = "return func.HttpResponse('ok')\n"


async def failure_of(app_dir: Path, settings: dict[str, str] | None = None) -> str:
    async with DevelopmentHost(app_dir, settings or STORAGE, polls_queues=False) as host:
        assert host.failure is not None
        is_running = not isinstance(host.failure, HostRefused)
        async with fetching(host.url) as client:
            reply = await client.get("/api/it")
            text = "" if is_running else "Function host is not running."
            assert (reply.status, await reply.text()) == (404 if is_running else 503, text)
            asked = {"Origin": "https://web.example", "Access-Control-Request-Method": "GET"}
            preflight = await client.options("/api/it", headers=asked)
            assert preflight.status == (204 if is_running else 503)
            key = {"x-functions-key": host.keys.master}
            status = await (await client.get("/admin/host/status", headers=key)).json()
            assert status["state"] == ("Running" if is_running else "Error")
            assert (await client.get("/admin/host/ping")).status == 200
        return str(host.failure)


@pytest.mark.parametrize(
    ("code", "says"),
    [
        pytest.param(
            "@app.route('it')\ndef it(req: func.HttpRequest) -> dict: return {}",
            "return annotation",
            id="returns a dict",
        ),
        pytest.param(
            "@app.route('it')\ndef it(req: func.HttpRequest) -> None: ...",
            "return annotation",
            id="returns None",
        ),
        pytest.param(
            "@app.route('it')\ndef it(req: func.HttpRequest) -> func.HttpResponse | None: ...",
            "return annotation",
            id="may return None",
        ),
        pytest.param(
            "from typing import Optional\n"
            "@app.route('it')\ndef it(req: Optional[func.HttpRequest]) -> str: return ''",
            "Optional is refused",
            id="an optional parameter",
        ),
        pytest.param(
            "@app.route('it')\ndef it(req: func.HttpRequest | None) -> str: return ''",
            "Optional is refused",
            id="an optional parameter, new style",
        ),
        pytest.param(
            "@app.route('it')\ndef it(req: func.TimerRequest) -> str: return ''",
            "does not match its binding",
            id="another trigger's type",
        ),
        pytest.param(
            "@app.route('it')\ndef it(req: func.HttpRequest, more: int = 1) -> str: return ''",
            "parameters without a binding: 'more'",
            id="an extra parameter with a default",
        ),
        pytest.param(
            "@app.route('it')\ndef it() -> str: return ''",
            "bindings without a parameter: 'req'",
            id="no parameter",
        ),
        pytest.param(
            "def plain(f):\n"
            "    async def wrapper(*args, **kwargs): return await f(*args, **kwargs)\n"
            "    return wrapper\n"
            "@app.route('it')\n@plain\nasync def it(req: func.HttpRequest) -> str: return ''",
            "functools.wraps",
            id="a decorator without functools.wraps",
        ),
        pytest.param(
            "import typing\n"
            "if typing.TYPE_CHECKING:\n    from azure.functions import HttpRequest\n"
            "@app.route('it')\ndef it(req: 'HttpRequest') -> str: return ''",
            "get_type_hints",
            id="a type under TYPE_CHECKING",
        ),
        pytest.param(
            "@app.route('it')\ndef it(req) -> str: return ''\n"
            "@app.route('other')\n@app.function_name('it')\ndef other(req) -> str: return ''",
            "unique",
            id="two functions of one name",
        ),
        pytest.param(
            "@app.route('same')\ndef a(req) -> str: return ''\n"
            "@app.route('Same')\ndef b(req) -> str: return ''",
            "conflicts with the route of the function 'a'",
            id="two functions of one route",
        ),
        pytest.param(
            "@app.route('a')\ndef a(req) -> str: return ''\n"
            "@app.route('b')\n@app.function_name('A')\ndef b(req) -> str: return ''",
            "letter case aside",
            id="names that differ in letter case alone",
        ),
        pytest.param(
            "@app.route('it')\ndef it(req, context: dict) -> str: return ''",
            "'context' must be",
            id="a context of another type",
        ),
        pytest.param(
            "@app.timer_trigger(arg_name='my_timer', schedule='0 0 * * * *')\n"
            "def it(my_timer: func.TimerRequest) -> None: ...",
            "letters and digits only",
            id="a binding name with an underscore",
        ),
        pytest.param(
            "@app.route('/it')\ndef it(req) -> str: return ''",
            "must not start with a slash",
            id="a leading slash",
        ),
        pytest.param(
            "@app.route('administrators')\ndef it(req) -> str: return ''",
            "built-in routes",
            id="a route that begins with admin",
        ),
        pytest.param(
            "@app.route('runtime/it')\ndef it(req) -> str: return ''",
            "built-in routes",
            id="a route that begins with runtime",
        ),
        pytest.param(
            "@app.route('it/{id:uuid}')\ndef it(req) -> str: return ''",
            "there is no constraint 'uuid'",
            id="an unknown constraint",
        ),
        pytest.param(
            "@app.timer_trigger(arg_name='timer', schedule='0 * * *')\n"
            "def it(timer: func.TimerRequest) -> None: ...",
            "not six (seconds first)",
            id="four fields",
        ),
        pytest.param(
            "@app.queue_trigger(arg_name='msg', queue_name='No_Good', connection='STORAGE')\n"
            "def it(msg: func.QueueMessage) -> None: ...",
            "no queue name",
            id="a bad queue name",
        ),
        pytest.param(
            "@app.queue_trigger(arg_name='msg', queue_name='jobs', connection='NOWHERE')\n"
            "def it(msg: func.QueueMessage) -> None: ...",
            "the connection 'NOWHERE' is not set",
            id="a connection without settings",
        ),
        pytest.param(
            "@app.timer_trigger(arg_name='timer', schedule='%EVERY%')\n"
            "def it(timer: func.TimerRequest) -> None: ...",
            "there is no setting 'EVERY'",
            id="a schedule of a missing setting",
        ),
        pytest.param(
            "@app.route('it')\n"
            "@app.queue_output(arg_name='out', queue_name='jobs', connection='STORAGE')\n"
            "def it(req: func.HttpRequest, out: bytes) -> str: return ''",
            "must be func.Out",
            id="an output that is no Out",
        ),
        pytest.param(
            "@app.blob_trigger(arg_name='blob', path='a/b', connection='STORAGE')\n"
            "def it(blob: func.InputStream) -> None: ...",
            "'blobTrigger' is not supported here",
            id="another binding",
        ),
        pytest.param("import sys\nsys.exit(1)", "sys.exit", id="sys.exit at import"),
        pytest.param("import no_such_module", "requirements.txt", id="a missing package"),
        pytest.param("import os\nos.environ['MISSING']", "MISSING", id="a missing setting"),
        pytest.param(
            "app = func.FunctionApp()\nother = func.FunctionApp()", "more than one", id="two apps"
        ),
        pytest.param("app = None", "no FunctionApp", id="no app"),
        pytest.param("def f(:", "SyntaxError", id="a syntax error"),
        pytest.param("", "registers no function", id="no function"),
        pytest.param(
            "import asyncio\nnap = asyncio.sleep(0)\n"
            "try:\n    asyncio.run(nap)\nfinally:\n    nap.close()",
            "running event loop",
            id="asyncio.run at import",
        ),
    ],
)
async def test_definition_azure_refuses_stops_the_app(tmp_path: Path, code: str, says: str) -> None:
    assert says in await failure_of(an_app(tmp_path, code))


GOOD = """
    @app.route("good")
    def good(req: func.HttpRequest) -> str: return "ok"
"""


@pytest.mark.parametrize(
    ("code", "kind", "functions"),
    [
        (
            "@app.route('bad')\n    def bad(req: func.HttpRequest) -> dict: return {}",
            WorkerRefused,
            [],
        ),
        ("@app.route('admin')\n    def bad(req) -> str: return ''", FunctionRefused, ["good"]),
        ("@app.route('/bad')\n    def bad(req) -> str: return ''", HostRefused, []),
    ],
)
async def test_what_is_refused_costs_as_much_as_on_azure(
    tmp_path: Path,
    code: str,
    kind: type[AppRefused],
    functions: list[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with DevelopmentHost(an_app(tmp_path, f"{GOOD}\n    {code}")) as host:
        assert type(host.failure) is kind
        assert [each.name for each in host.functions] == functions
        async with fetching(host.url) as client:
            expected = 200 if functions else 503 if kind is HostRefused else 404
            assert (await client.get("/api/good")).status == expected
    assert f"On Azure: {kind.on_azure}." in caplog.text


async def test_queue_bindings_need_an_extension_bundle(tmp_path: Path) -> None:
    code = """
        @app.queue_trigger(arg_name="msg", queue_name="jobs", connection="STORAGE")
        def it(msg: func.QueueMessage) -> None: ...
    """
    assert "extensionBundle" in await failure_of(an_app(tmp_path, code, {"version": "2.0"}))


@pytest.mark.parametrize(
    ("host", "says"),
    [
        ({"extensionBundle": BUNDLE}, "version"),
        ({**HOST_JSON, "functionTimeout": "soon"}, "functionTimeout"),
        ({**HOST_JSON, "extensions": {"queues": {"batchSize": 33}}}, "batchSize"),
        ({**HOST_JSON, "extensions": {"queues": {"visibilityTimeout": "30 s"}}}, "visibility"),
        ({**HOST_JSON, "extensions": {"queues": {"messageEncoding": "utf8"}}}, "messageEncoding"),
        ({**HOST_JSON, "extensions": {"queues": {"maxPollingInterval": 50}}}, "maxPolling"),
    ],
)
async def test_a_bad_host_json_takes_the_app_down(
    tmp_path: Path, host: dict[str, object], says: str
) -> None:
    assert says in await failure_of(an_app(tmp_path, "", host))


async def test_an_app_runs_without_host_json(tmp_path: Path) -> None:
    app_dir = an_app(tmp_path, GOOD)
    (app_dir / "host.json").unlink()
    async with DevelopmentHost(app_dir) as host:
        assert host.failure is None


async def test_the_apps_own_traceback_is_logged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.ERROR):
        await failure_of(an_app(tmp_path, "raise RuntimeError('at import')"))
    assert 'function_app.py", line 4' in caplog.text
    assert "RuntimeError: at import" in caplog.text


async def test_an_unregistered_blueprint_is_absent_without_an_error(tmp_path: Path) -> None:
    blueprint = """
        import azure.functions as func
        bp = func.Blueprint()
        @bp.route("lost")
        def lost(req: func.HttpRequest) -> str: return "lost"
    """
    code = "import extra\n@app.route('it')\ndef it(req: func.HttpRequest) -> str: return 'ok'"
    async with DevelopmentHost(an_app(tmp_path, code, extra=blueprint)) as host:
        assert host.failure is None
        assert [each.name for each in host.functions] == ["it"]


async def test_a_module_from_outside_the_app_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "editable_thing.py").write_text("")
    monkeypatch.syspath_prepend(str(tmp_path / "elsewhere"))
    (tmp_path / "app").mkdir()
    code = "import editable_thing\n@app.route('it')\ndef it(req) -> str: return ''"
    assert "editable installs" in await failure_of(an_app(tmp_path / "app", code))


async def test_a_module_that_funcignore_leaves_out_is_refused(tmp_path: Path) -> None:
    code = "import tools.thing\n@app.route('it')\ndef it(req) -> str: return ''"
    app_dir = an_app(tmp_path, code)
    (app_dir / "tools").mkdir()
    (app_dir / "tools" / "thing.py").write_text("")
    (app_dir / ".funcignore").write_text("# not deployed\ntools/\n")
    assert ".funcignore" in await failure_of(app_dir)


async def test_a_package_that_requirements_do_not_bring_is_refused(tmp_path: Path) -> None:
    # A package of the development environment that the host itself does not import.
    code = "import grimp\n@app.route('it')\ndef it(req) -> str: return ''"
    app_dir = an_app(tmp_path, code)
    (app_dir / "requirements.txt").write_text("aiohttp==3\n")
    with pytest.MonkeyPatch.context() as patch:
        _forget(patch, "grimp")
        assert "requirements.txt does not bring" in await failure_of(app_dir)


async def test_settings_last_as_long_as_the_host(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("COLOUR", raising=False)
    code = """
        import os
        COLOUR = os.environ["COLOUR"]
        @app.route("it")
        def it(req: func.HttpRequest) -> str: return COLOUR
    """
    app_dir = an_app(tmp_path, code)
    for colour in ("red", "green"):  # a second host imports anew
        async with (
            DevelopmentHost(app_dir, {"COLOUR": colour}) as host,
            fetching(host.url) as client,
        ):
            assert await (await client.get("/api/it")).text() == colour
    assert "MISSING" not in await failure_of(app_dir)


async def test_a_setting_turns_a_function_off(tmp_path: Path) -> None:
    code = "@app.route('it')\ndef it(req: func.HttpRequest) -> str: return 'ok'"
    settings = {"AzureWebJobs.it.Disabled": "true"}
    async with DevelopmentHost(an_app(tmp_path, code), settings) as host:
        assert host.failure is None
        assert not host.functions


def _forget(patch: pytest.MonkeyPatch, package: str) -> None:
    import sys

    for name in [each for each in sys.modules if each.partition(".")[0] == package]:
        patch.delitem(sys.modules, name)
