"""What the development host refuses, as the worker or the host of Azure would.

AppRefused
└── FunctionRefused      names the function
"""


class AppRefused(Exception):
    """The app does not load. On Azure the deployment succeeds and every URL answers 404."""


class FunctionRefused(AppRefused):
    """One function breaks a rule, which takes the whole app down."""

    def __init__(self, function: str, rule: str) -> None:
        """Say of *function*, by its registered name, which *rule* it breaks."""
        super().__init__(f"cannot load the function {function!r}: {rule}")
        self.function = function
        self.rule = rule
