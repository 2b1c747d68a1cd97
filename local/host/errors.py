"""The refusals of worker and host, with what each costs.

AppRefused
├── HostRefused          the host does not run: every URL is 503
├── WorkerRefused        no function exists: their URLs are 404, and the host looks healthy
└── FunctionRefused      one function is missing, the others run

FunctionFailed           an invocation failed
├── FunctionTimedOut     it took longer than `functionTimeout`
└── WorkerCrashed        the worker process ended under it
"""

from typing import ClassVar, Self


class AppRefused(Exception):
    """Something in the app is refused. The message is for developers."""

    on_azure: ClassVar[str]
    """What comes of it there, where the deployment succeeds all the same."""


class HostRefused(AppRefused):
    """The host does not start its listeners."""

    on_azure = "every URL answers 503 `Function host is not running.`"


class WorkerRefused(AppRefused):
    """The worker loads none of the app's functions."""

    on_azure = "no function exists, their URLs answer 404, and /admin/host/status says Running"

    @classmethod
    def of(cls, function: str, rule: str) -> Self:
        """Name the *rule* that *function* breaks."""
        return cls(f"cannot load the function {function!r}: {rule}")


class FunctionRefused(AppRefused):
    """The host does not accept one function."""

    on_azure = "this function is missing, the others run"

    def __init__(self, function: str, rule: str) -> None:
        """Name the *rule* that *function* breaks, by its registered name."""
        super().__init__(f"the function {function!r} is missing: {rule}")
        self.function = function
        self.rule = rule


class FunctionFailed(Exception):
    """The function or an output raised. The message names the error."""

    def __init__(self, message: str, trace: str = "") -> None:
        """*trace*: the traceback, from the app's first line on."""
        super().__init__(message)
        self.trace = trace

    def __reduce__(self) -> tuple[type[Self], tuple[str, str]]:
        return type(self), (str(self), self.trace)


class FunctionTimedOut(FunctionFailed):
    """An invocation took longer than `functionTimeout`: the worker process is killed."""


class WorkerCrashed(FunctionFailed):
    """The worker process ended while it ran the function."""
