"""The one failure of a request that is no fault of the app: the machine took too long."""

import json
from typing import Final

TOOK_TOO_LONG: Final = "/api/problems/took-too-long"


def is_slow_machine(status: int, retry_after: str, body: bytes) -> bool:
    """Return whether a reply is that to a request that took too long, with a time to retry."""
    if status != 503 or not retry_after.isdecimal():
        return False
    problem = json.loads(body)
    return isinstance(problem, dict) and problem.get("type") == TOOK_TOO_LONG
