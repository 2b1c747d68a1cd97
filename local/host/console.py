"""The host's output: log lines on standard error, one line of JSON on standard output.

As on Azure the root logger is at INFO; the Azure SDK, which logs each request, is at WARNING.
"""

import json
import logging
import sys
from typing import Any, Final

from local.host.worker import current_invocation

_OWN: Final = ("local.host", "asyncio", "aiohttp")
_LINE: Final = "%(asctime)s %(levelname)s %(name)s: %(mark)s%(message)s"
_LOST: Final = "[not in an invocation: Azure drops this] "


def set_up_logging() -> None:
    """Log to standard error from now on."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter(_LINE))
    handler.addFilter(_mark)
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    logging.getLogger("azure").setLevel(logging.WARNING)


def announce(**facts: Any) -> None:  # noqa: ANN401  # any JSON
    """Print *facts* as one line of JSON for the program that started this one."""
    print(json.dumps(facts), flush=True)


def _mark(record: logging.LogRecord) -> bool:
    is_own = record.name.startswith(_OWN)
    record.mark = "" if is_own or current_invocation() else _LOST
    return True
