"""What the fuzzing takes for no fault. Schemathesis loads this module."""

from typing import Any

import schemathesis
from schemathesis.core.failures import Failure
from schemathesis.core.transport import Response

from tests.e2e.slow_machine import is_slow_machine


@schemathesis.hook
def filter_failure(
    ctx: schemathesis.HookContext,
    failure: Failure,
    case: schemathesis.Case[Any],
    response: Response,
) -> bool:
    """Keep a failure unless the reply is that of a slow machine, or the host's own."""
    if (response.status_code, response.content) == (400, b"") and _is_for_the_host(case):
        return False
    retry_after = (response.headers.get("retry-after") or [""])[0]
    return not is_slow_machine(response.status_code, retry_after, response.content)


def _is_for_the_host(case: schemathesis.Case[Any]) -> bool:
    """Whether the host refuses the request: a header is no UTF-8, or its path has a null."""
    try:
        "".join(str(each) for each in (case.headers or {}).values()).encode("latin-1").decode()
    except UnicodeError:
        return True
    return "\0" in "".join(str(each) for each in (case.path_parameters or {}).values())
