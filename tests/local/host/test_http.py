import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession

from local.host.cors import Cors
from local.host.host import DevelopmentHost
from local.host.static import StaticSite
from tests.local.host.apps import HOST_JSON, an_app, fetching, the_app
from tests.local.host.recorded import ask

ECHO = """
    import json

    def described(req: func.HttpRequest) -> str:
        return json.dumps({
            "method": req.method,
            "url": req.url,
            "headers": dict(req.headers),
            "params": dict(req.params),
            "route": dict(req.route_params),
            "content": req.get_body().decode(),
        })

    @app.route("echo/{id?}")
    async def echo(req: func.HttpRequest) -> func.HttpResponse:
        return func.HttpResponse(described(req), mimetype="application/json")
"""


@asynccontextmanager
async def serving(
    folder: Path, code: str, host: dict[str, Any] | None = None, **options: Any
) -> AsyncIterator[ClientSession]:
    async with DevelopmentHost(an_app(folder, code, host), **options) as running:
        assert running.failure is None, running.failure
        async with fetching(running.url) as client:
            yield client


async def test_a_parameter_of_a_route_may_have_a_line_feed(tmp_path: Path) -> None:
    async with serving(tmp_path, ECHO) as client:
        reply = await client.get("/api/echo/one%0Atwo")
        assert (await reply.json())["route"] == {"id": "one\ntwo"}


async def test_the_access_log_has_the_size_of_the_answer(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with serving(tmp_path, ECHO) as client:
        with caplog.at_level("INFO", logger="aiohttp.access"):
            size = len(await (await client.get("/api/echo")).read())
    (line,) = [r.getMessage() for r in caplog.records if r.name == "aiohttp.access"]
    assert f'" 200 {size} ' in line


async def test_a_function_sees_the_same_request_as_in_the_real_worker(tmp_path: Path) -> None:
    async with serving(tmp_path, ECHO) as client:
        reply = await client.post(
            "/api/echo/x%20y?a=1&A=2&empty=&flag&b=y",
            data=b"hello",
            headers={"X-Thing": "1"},
        )
        seen = await reply.json()
    assert seen["method"] == "POST"
    assert seen["url"].endswith("/api/echo/x%20y?a=1&A=2&empty=&flag&b=y")
    assert seen["params"] == {"a": "1,2", "b": "y"}
    assert seen["route"] == {"id": "x y"}
    assert seen["headers"]["x-thing"] == "1"
    assert seen["content"] == "hello"
    assert all(name == name.lower() for name in seen["headers"])


async def test_repeated_headers_are_joined(tmp_path: Path) -> None:
    async with DevelopmentHost(an_app(tmp_path, ECHO)) as host:
        reader, writer = await asyncio.open_connection("127.0.0.1", host.port)
        writer.write(b"GET /api/echo HTTP/1.0\r\nHost: x\r\nX-Thing: 1\r\nX-THING: 2\r\n\r\n")
        _, _, body = (await reader.read()).partition(b"\r\n\r\n")
        writer.close()
        await writer.wait_closed()
    assert json.loads(body)["headers"]["x-thing"] == "1,2"


async def test_the_first_match_in_order_of_function_names_wins(tmp_path: Path) -> None:
    code = """
        @app.route("sessions/mine")
        def b_mine(req: func.HttpRequest) -> str: return "mine"

        @app.route("sessions/{id}")
        def a_show(req: func.HttpRequest) -> str: return "show"

        @app.route("pairings/mine")
        def d_mine(req: func.HttpRequest) -> str: return "mine"

        @app.route("pairings/{id:guid}")
        def c_show(req: func.HttpRequest) -> str: return "show"
    """
    async with serving(tmp_path, code) as client:
        assert await (await client.get("/api/sessions/mine")).text() == "show"
        assert await (await client.get("/api/pairings/mine")).text() == "mine"


async def test_a_wrong_method_is_not_found(tmp_path: Path) -> None:
    code = """
        @app.route("it", methods=["POST"])
        def it(req: func.HttpRequest) -> str: return "posted"

        @app.route("it", methods=["GET"])
        def other(req: func.HttpRequest) -> str: return "got"
    """
    async with serving(tmp_path, code) as client:
        assert (await client.put("/api/it")).status == 404
        assert await (await client.get("/api/it")).text() == "got"
        assert (await client.get("/it")).status == 404


async def test_the_route_prefix_and_headers_come_from_host_json(tmp_path: Path) -> None:
    http = {"routePrefix": "", "customHeaders": {"X-Frame-Options": "DENY"}}
    host = {**HOST_JSON, "extensions": {"http": http}}
    code = "@app.route('/it')\ndef it(req: func.HttpRequest) -> str: return 'ok'"
    async with serving(tmp_path, code, host) as client:
        reply = await client.get("/it")
        assert (reply.status, reply.headers["X-Frame-Options"]) == (200, "DENY")
        missing = await client.get("/other")
        assert (missing.status, missing.headers["X-Frame-Options"]) == (404, "DENY")


async def test_a_custom_header_with_a_blank_makes_every_answer_a_500(tmp_path: Path) -> None:
    host = {**HOST_JSON, "extensions": {"http": {"customHeaders": {"X Own": "1"}}}}
    async with serving(tmp_path, ECHO, host) as client:
        assert [(await client.get(path)).status for path in ("/api/echo", "/none")] == [500, 500]


async def test_the_whole_url_may_be_in_the_request_line(tmp_path: Path) -> None:
    async with DevelopmentHost(an_app(tmp_path, ECHO)) as host:
        request = b"GET http://other.example/api/echo?a=1 HTTP/1.1\r\nHost: x\r\n\r\n"
        answer = await ask(host.port, request)
        assert json.loads(answer.body)["params"] == {"a": "1"}
        assert (await ask(host.port, request.replace(b"1.1", b"2.0"))).status == "505"


async def test_a_header_of_the_function_stays(tmp_path: Path) -> None:
    http = {"customHeaders": {"X-Frame-Options": "DENY", "X-Other": "host"}}
    host = {**HOST_JSON, "extensions": {"http": http}}
    code = """
@app.route('it')
def it(req: func.HttpRequest) -> func.HttpResponse:
    return func.HttpResponse('ok', headers={'x-frame-options': 'SAMEORIGIN'})
"""
    async with serving(tmp_path, code, host) as client:
        reply = await client.get("/api/it")
        assert reply.headers.getall("X-Frame-Options") == ["SAMEORIGIN"]
        assert reply.headers["X-Other"] == "host"


@pytest.mark.parametrize(
    ("body", "status", "kind", "text"),
    [
        ("return 'plain'", 200, "text/plain", "plain"),
        ("return '{\"b\" : [1, 2]}'", 200, "text/plain", '{\n  "b": [\n    1,\n    2\n  ]\n}'),
        ("return '\"quoted\"'", 200, "text/plain", "quoted"),
        ("return '{\"body\": \"inner\", \"statusCode\": 201}'", 201, "text/plain", "inner"),
        ("return '2026-11-23T10:00:00.500Z'", 200, "text/plain", "2026-11-23T10:00:00.500Z"),
        ("return '[\"2026-11-23T10:00:00.500Z\"]'", 200, "text/plain",
         '[\n  "2026-11-23T10:00:00.5Z"\n]'),
        ("return 'true'", 200, "text/plain", "True"),
        ("return 'null'", 200, "text/plain", ""),
        ("return func.HttpResponse('x', status_code=418)", 418, "text/plain", "x"),
        ("return None", 500, "", ""),
        ("return {}", 500, "", ""),
        ("return ('x', 200)", 500, "", ""),
        ("raise ValueError('secret')", 500, "", ""),
        ("return func.HttpResponse('x', headers={'X-Name': 'é'})", 500, "", ""),
        ("return func.HttpResponse('x', headers={'X-Name': 'a\\r\\nb'})", 500, "", ""),
        ("return func.HttpResponse('xyz', headers={'Content-Length': '1'})", 500, "", ""),
        ("return func.HttpResponse(status_code=204, headers={'Content-Length': '0'})", 204, "", ""),
        ("return func.HttpResponse(status_code=204, headers={'Content-Length': '1'})", 500, "", ""),
        ("return func.HttpResponse('x', status_code=204)", 204, "", ""),
        ("return func.HttpResponse('x', status_code=304)", 304, "", ""),
        ("return func.HttpResponse('x', status_code=205)", 205, "", ""),
        ("return func.HttpResponse(status_code=204)", 204, "", ""),
        ("return func.HttpResponse(status_code=304)", 304, "", ""),
        ("import sys; sys.exit(1)", 500, "", ""),
    ],
)  # fmt: skip
@pytest.mark.parametrize("kind_of_function", ["def", "async def"])
async def test_answers(
    tmp_path: Path, body: str, status: int, kind: str, text: str, kind_of_function: str
) -> None:
    code = f"@app.route('it')\n{kind_of_function} it(req: func.HttpRequest):\n    {body}"
    async with serving(tmp_path, code) as client:
        reply = await client.get("/api/it")
        assert (reply.status, await reply.text()) == (status, text)
        assert not kind or reply.content_type == kind


async def test_an_exceptions_traceback_is_logged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    code = "@app.route('it')\nasync def it(req: func.HttpRequest) -> str: raise ValueError('why')"
    async with serving(tmp_path, code) as client:
        await client.get("/api/it")
    assert "ValueError: why" in caplog.text
    assert "function_app.py" in caplog.text
    assert "Executed 'Functions.it' (Failed" in caplog.text


async def test_cookies_are_percent_encoded(tmp_path: Path) -> None:
    code = """
        @app.route("it")
        def it(req: func.HttpRequest) -> func.HttpResponse:
            response = func.HttpResponse("x")
            response.headers.add("Set-Cookie", "a=b+c/d; HttpOnly; Secure; SameSite=Lax")
            response.headers.add("Set-Cookie", "e=f; Max-Age=60; Path=/api")
            return response
    """
    async with serving(tmp_path, code) as client:
        reply = await client.get("/api/it")
    assert reply.headers.getall("Set-Cookie") == [
        "a=b%2Bc%2Fd; domain=; path=; secure; samesite=lax; httponly",
        "e=f; max-age=60; domain=; path=/api",
    ]


async def test_a_chunked_body_arrives_empty(tmp_path: Path) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        yield b"hello"

    async with serving(tmp_path, ECHO) as client:
        seen = await (await client.post("/api/echo", data=chunks())).json()
        again = await (await client.post("/api/echo", data=b"hello")).json()
    assert (seen["content"], again["content"]) == ("", "hello")


async def test_levels_ask_for_keys(tmp_path: Path) -> None:
    code = """
        @app.route("function", auth_level=func.AuthLevel.FUNCTION)
        def one(req: func.HttpRequest) -> str: return "ok"

        @app.route("master", auth_level=func.AuthLevel.ADMIN)
        def two(req: func.HttpRequest) -> str: return "ok"
    """
    async with serving(tmp_path, code, function_key="f", master_key="m") as client:
        assert (await client.get("/api/function")).status == 401
        assert (await client.get("/api/function?code=x")).status == 401
        assert (await client.get("/api/function?code=f")).status == 200
        assert (await client.get("/api/function", headers={"x-functions-key": "m"})).status == 200
        assert (await client.get("/api/master?code=f")).status == 401
        assert (await client.get("/api/master?code=m")).status == 200


async def test_a_blocking_async_function_stops_the_app_but_not_the_host(tmp_path: Path) -> None:
    code = """
        import threading
        BLOCK, ENTERED = threading.Event(), threading.Event()

        @app.route("block")
        async def block(req: func.HttpRequest) -> str:
            ENTERED.set()
            BLOCK.wait(100)
            return "blocked"

        @app.route("quick")
        async def quick(req: func.HttpRequest) -> str: return "quick"
    """
    async with serving(tmp_path, code, master_key="m") as client:
        function_app = the_app()

        blocked = asyncio.create_task(client.get("/api/block"))
        await asyncio.to_thread(function_app.ENTERED.wait, 100)
        quick = asyncio.create_task(client.get("/api/quick"))
        assert (await client.get("/admin/host/status?code=m")).status == 200
        assert not quick.done()
        function_app.BLOCK.set()
        assert await (await quick).text() == "quick"
        assert await (await blocked).text() == "blocked"


@pytest.mark.parametrize("connection", ["", "InstrumentationKey=0"])
async def test_context_names_the_invocation(tmp_path: Path, connection: str) -> None:
    code = """
        @app.route("it")
        def it(req: func.HttpRequest, context: func.Context) -> str:
            same = context.thread_local_storage.invocation_id == context.invocation_id
            return f"{context.function_name} {same} {context.trace_context.trace_parent}"
    """
    trace = "0af7651916cd43dd8448eb211c80319c"
    settings = {"APPLICATIONINSIGHTS_CONNECTION_STRING": connection}
    async with serving(tmp_path, code, environment=settings) as client:
        reply = await client.get("/api/it", headers={"traceparent": f"00-{trace}-b7ad6b7-01"})
        name, same, *parent = (await reply.text()).split(" ")
    assert (name, same) == ("it", "True")
    # A span of its own in the caller's trace; nothing without Application Insights.
    assert parent[0].startswith(f"00-{trace}-") if connection else parent == [""]
    assert "b7ad6b7" not in parent[0]


async def test_after_the_timeout_the_caller_gets_500(tmp_path: Path) -> None:
    code = """
        import asyncio
        @app.route("it")
        async def it(req: func.HttpRequest) -> str:
            await asyncio.Event().wait()
            return ""
    """
    host = {**HOST_JSON, "functionTimeout": "00:00:00.05"}
    async with serving(tmp_path, code, host) as client:
        assert (await client.get("/api/it")).status == 500


async def test_a_retry_decorator_runs_on_http_too(tmp_path: Path) -> None:
    code = """
        SEEN = []
        @app.route("it")
        @app.retry(strategy="fixed_delay", max_retry_count="2", delay_interval="00:00:00")
        def it(req: func.HttpRequest, context: func.Context) -> str:
            SEEN.append(context.retry_context.retry_count)
            raise ValueError
    """
    async with serving(tmp_path, code) as client:
        assert (await client.get("/api/it")).status == 500
        assert the_app().SEEN == [0, 1, 2]


async def test_the_host_counts_invocations(tmp_path: Path) -> None:
    seen: list[str] = []
    app_dir = an_app(tmp_path, ECHO)
    async with (
        DevelopmentHost(app_dir, on_invocation=lambda each: seen.append(each.function)) as host,
        fetching(host.url) as client,
    ):
        await client.get("/api/echo")
        await client.get("/api/echo")
        assert host.counts["echo"] == 2
    assert seen == ["echo", "echo"]


async def test_running_invocations_end_before_the_host_does(tmp_path: Path) -> None:
    code = """
        import asyncio, threading
        ENTERED, GO = threading.Event(), None
        @app.route("slow")
        async def slow(req: func.HttpRequest) -> str:
            global GO
            GO = asyncio.Event()
            ENTERED.set()
            await asyncio.sleep(0.2)
            return "done"
    """
    host = await DevelopmentHost(an_app(tmp_path, code)).__aenter__()
    function_app = the_app()

    async with fetching(host.url) as client:
        slow = asyncio.create_task(client.get("/api/slow"))
        await asyncio.to_thread(function_app.ENTERED.wait, 100)
        await host.__aexit__()
        assert await (await slow).text() == "done"


# --- CORS and pages


async def test_the_host_answers_preflights_itself(tmp_path: Path) -> None:
    cors = Cors(["https://web.example"], supports_credentials=True)
    preflight = {
        "Origin": "https://web.example",
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization",
    }
    async with serving(tmp_path, ECHO, cors=cors) as client:
        allowed = await client.options("/api/echo", headers=preflight)
        assert allowed.status == 204
        assert allowed.headers["Access-Control-Allow-Origin"] == "https://web.example"
        assert allowed.headers["Access-Control-Allow-Headers"] == "authorization"
        assert allowed.headers["Access-Control-Allow-Credentials"] == "true"
        stranger = {**preflight, "Origin": "https://evil.example"}
        refused = await client.options("/api/echo", headers=stranger)
        assert "Access-Control-Allow-Origin" not in refused.headers
        reply = await client.get("/api/echo", headers={"Origin": "https://web.example"})
        assert reply.headers["Access-Control-Allow-Origin"] == "https://web.example"
        assert "Access-Control-Expose-Headers" not in reply.headers
        assert "Vary" not in reply.headers


async def test_the_platforms_cors_headers_win(tmp_path: Path) -> None:
    code = """
        @app.route("it")
        def it(req: func.HttpRequest) -> func.HttpResponse:
            own = {"Access-Control-Allow-Origin": "https://own.example", "Vary": "Accept"}
            return func.HttpResponse("x", headers=own)
    """
    http = {"customHeaders": {"X-Custom": "host"}}
    host = {**HOST_JSON, "extensions": {"http": http}}
    cors = Cors(["https://web.example", "https://other.example"])
    async with serving(tmp_path, code, host, cors=cors) as client:
        reply = await client.get("/api/it", headers={"Origin": "https://web.example"})
        assert reply.headers.getall("Access-Control-Allow-Origin") == ["https://web.example"]
        assert reply.headers.getall("Vary") == ["Accept", "Origin"]
    async with serving(tmp_path, code, host) as client:  # also without any origin
        asked = {"Origin": "https://web.example", "Access-Control-Request-Method": "GET"}
        reply = await client.options("/api/it", headers=asked)
        assert (reply.status, reply.headers["X-Custom"]) == (204, "host")
        assert "Access-Control-Allow-Origin" not in reply.headers


async def test_pages_are_served_beside_the_functions(tmp_path: Path) -> None:
    web = tmp_path / "web"
    web.mkdir()
    (web / "index.html").write_text("<h1>page</h1>")
    (web / "app.js").write_text("1")
    (tmp_path / "secret.txt").write_text("secret")
    page = {"Accept": "text/html"}
    async with serving(tmp_path, ECHO, sites=[StaticSite.parse(f"{web}=/")]) as client:
        assert (await client.get("/app.js")).content_type == "text/javascript"
        deep = await client.get("/book/42", headers=page)
        assert (deep.status, deep.content_type) == (200, "text/html")
        assert (await client.get("/missing.js", headers=page)).status == 404
        assert (await client.get("/book/42")).status == 404
        assert (await client.get("/%2e%2e/secret.txt")).status == 404
        assert (await client.get("/api/echo")).status == 200
        assert (await client.get("/API/unknown", headers=page)).status == 404


# --- the admin API


async def test_the_admin_api_wants_the_master_key(tmp_path: Path) -> None:
    async with serving(tmp_path, ECHO, function_key="f", master_key="m") as client:
        assert (await client.get("/admin/functions")).status == 401
        assert (await client.get("/admin/functions?code=f")).status == 403
        reply = await client.get("/admin/functions", headers={"x-functions-key": "m"})
        assert await reply.json() == [{"name": "echo"}]
        assert (await client.post("/admin/functions/none?code=m", json={})).status == 404
        assert (await client.get("/admin/other?code=m")).status == 404
        assert (await client.post("/admin/functions/echo?code=m", json={})).status == 202
        assert (await client.get("/admin/host/ping")).status == 200


async def test_the_home_page_can_be_turned_off(tmp_path: Path) -> None:
    async with serving(tmp_path, ECHO) as client:
        assert (await client.patch("/")).content_type == "text/html"
    settings = {"AzureWebJobsDisableHomepage": "true"}
    async with serving(tmp_path, ECHO, environment=settings) as client:
        assert (await client.get("/")).status == 204


# --- beyond HTTP's usual


async def test_a_body_over_the_limit_is_a_500(tmp_path: Path) -> None:
    settings = {"FUNCTIONS_REQUEST_BODY_SIZE_LIMIT": "10"}
    async with serving(tmp_path, ECHO, environment=settings) as client:
        reply = await client.post("/api/echo", data=bytes(11))
        assert (reply.status, reply.headers["Connection"], await reply.text()) == (500, "close", "")
        assert (await client.post("/api/none", data=bytes(11))).status == 404
        assert (await client.post("/api/echo", data=bytes(10))).status == 200


async def test_a_path_with_a_null_character_is_a_400(tmp_path: Path) -> None:
    async with serving(tmp_path, ECHO) as client:
        reply = await client.get("/api/echo/%00")
        assert (reply.status, await reply.text()) == (400, "")


async def test_json_bodies_are_bytes_for_the_worker(tmp_path: Path) -> None:
    code = """
        @app.route("it", methods=["POST"])
        def it(req: func.HttpRequest) -> func.HttpResponse:
            try:
                return func.HttpResponse(str(req.get_json()))
            except ValueError as error:
                return func.HttpResponse(str(error), status_code=400)
    """
    async with serving(tmp_path, code) as client:
        good = await client.post("/api/it", json={"a": 1})
        assert await good.text() == str({"a": 1})
        bad = await client.post("/api/it", data=json.dumps({"a": 1})[:-1])
        assert bad.status == 400
