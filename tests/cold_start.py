"""A worker process of its own, from its first request to its end: the imports of its threads.

A program, not a module: tests run its text in a fresh interpreter that sees the app. It calls the
functions that its argument names, one after the other, and prints a report as JSON. Meanwhile it
forces the order in which two threads deadlock over a package: one is inside the package, the other
holds the lock of a module of it.
"""

import asyncio
import json
import sys
import threading
import time
from types import ModuleType
from typing import Any, Final

_PACKAGE: Final = "azure.core"
_PATIENCE_SECONDS: Final = 3.0
_LOADED_SECONDS: Final = 60.0


class _Watch:
    """The first import finder: it sees each import before it runs."""

    def __init__(self) -> None:
        self.elsewhere: list[str] = []
        """Imports in threads other than the loop's."""
        self.begun = threading.Event()
        """A thread imports a module that imports the package; it continues once the loop is inside
        it.
        """
        self._inside = threading.Event()
        self._other = 0

    def find_spec(self, name: str, path: Any = None, target: ModuleType | None = None) -> None:
        """Record the thread that imports *name*, and let the two threads meet in the package."""
        thread = threading.current_thread()
        if thread is not threading.main_thread():
            self.elsewhere.append(f"{thread.name}: {name}")
            if name.startswith("azure.identity.") and not self.begun.is_set():
                self._other = threading.get_ident()
                self.begun.set()
                self._inside.wait(_PATIENCE_SECONDS)
        elif name.startswith(f"{_PACKAGE}.") and self.begun.is_set() and not self._inside.is_set():
            self._inside.set()
            self._await_other()

    def _await_other(self) -> None:
        """Wait until the other thread waits for the package, or needs no wait."""
        until = time.monotonic() + _PATIENCE_SECONDS
        while time.monotonic() < until:
            frame = sys._current_frames().get(self._other)
            lock = frame.f_locals.get("self") if frame else None
            if getattr(lock, "name", "") == _PACKAGE:
                break
            time.sleep(0.01)
        time.sleep(0.1)


async def main(watch: _Watch) -> None:
    """Call the functions and print the report."""
    import azure.functions as func

    import function_app
    from shared.wiring import wiring

    functions = {each.get_function_name(): each for each in function_app.app.get_functions()}
    # If the first request starts a thread, let that thread get far enough to interfere.
    telemetry = wiring().telemetry
    watch.begun.wait(_PATIENCE_SECONDS if threading.active_count() > 1 else 0)
    statuses = []
    for asked in json.loads(sys.argv[1]):
        request = func.HttpRequest(
            method="GET",
            url="/api",
            body=asked.get("body", "").encode(),
            headers=asked.get("headers", {}),
            params=asked.get("params", {}),
            route_params=asked.get("route", {}),
        )
        for _ in range(5):  # a slow machine may get took-too-long: retry, as the answer asks
            reply = await functions[asked["function"]].get_user_function()(request)
            if b"took-too-long" not in reply.get_body():
                break
        statuses.append(reply.status_code)
    async with asyncio.timeout(_LOADED_SECONDS):
        while not telemetry._exporting:  # noqa: ASYNC110  # nobody tells
            await asyncio.sleep(0.05)
    await asyncio.sleep(_PATIENCE_SECONDS)  # the exporter sends
    await wiring().aclose()
    report = {"statuses": statuses, "imported_elsewhere": watch.elsewhere}
    print(json.dumps(report), flush=True)  # noqa: T201


if __name__ == "__main__":
    watching = _Watch()
    sys.meta_path.insert(0, watching)
    asyncio.run(main(watching))
