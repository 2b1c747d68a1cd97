"""The refusals of the development host, which the worker or the host of Azure would share.

AppRefused
└── FunctionRefused      names the function
"""


class AppRefused(Exception):
    """The app does not load. On Azure the deployment succeeds and every URL answers 404."""


class FunctionRefused(AppRefused):
    """One function breaks a rule, so the whole app fails to load."""

    def __init__(self, function: str, rule: str) -> None:
        """Name the *rule* that *function* breaks, by its registered name."""
        super().__init__(f"cannot load the function {function!r}: {rule}")
        self.function = function
        self.rule = rule
