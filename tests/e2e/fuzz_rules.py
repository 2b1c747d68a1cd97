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
    """Keep a failure unless the reply is that of a slow machine."""
    retry_after = (response.headers.get("retry-after") or [""])[0]
    return not is_slow_machine(response.status_code, retry_after, response.content)
