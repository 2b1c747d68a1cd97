"""What the host makes of the functions that the worker describes: triggers, outputs, order.

A function that breaks a rule of the host is missing; a route that cannot be read stops the host.

Source: the host's `ScriptHost`, `Utility` and `FunctionMetadataManager` (4.1037).
"""

import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from local.host.configuration import HostOptions, resolved, time_span
from local.host.connections import check_connection
from local.host.errors import FunctionRefused, HostRefused
from local.host.indexing import HTTP, QUEUE, RETURN, Description
from local.host.ncrontab import Ncrontab
from local.host.templates import RouteTemplate

HTTP_TRIGGER: Final = "httpTrigger"
QUEUE_TRIGGER: Final = "queueTrigger"
TIMER_TRIGGER: Final = "timerTrigger"

_log: Final = logging.getLogger(__name__)
_SUPPORTED: Final = frozenset({HTTP_TRIGGER, HTTP, QUEUE_TRIGGER, QUEUE, TIMER_TRIGGER})
_FUNCTION_NAME: Final = re.compile(r"(?!host$)[a-z][a-z0-9_-]{0,127}", re.IGNORECASE)
_BINDING_NAME: Final = re.compile(r"[a-zA-Z][a-zA-Z0-9]{0,127}|\$return")
_QUEUE_NAME: Final = re.compile(r"(?=.{3,63}$)[a-z0-9]+(?:-[a-z0-9]+)*")
_RESERVED: Final = ("admin", "runtime")


@dataclass(frozen=True, slots=True)
class HttpRoute:
    """An HTTP trigger."""

    template: RouteTemplate
    methods: frozenset[str]
    """Empty: every method."""
    level: str
    """`anonymous`, `function` or `admin`."""

    def takes(self, method: str) -> bool:
        """Whether it answers requests with *method*."""
        return not self.methods or method in self.methods

    def opens_for(self, level: str) -> bool:
        """Whether the holder of a key of *level* may call it."""
        return self.level == "anonymous" or level in {self.level, "admin"}

    def conflicts_with(self, other: "HttpRoute") -> bool:
        """Whether *other* has the same route and a method of it."""
        is_same = self.template.text.lower() == other.template.text.lower()
        has_any = not self.methods or not other.methods
        return is_same and (has_any or bool(self.methods & other.methods))


@dataclass(frozen=True, slots=True)
class QueueBinding:
    """A queue, as trigger or as output."""

    queue: str
    connection: str
    """The name of the setting, or the prefix of the settings, with its address."""


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """The number and delay of the retries of a function with a retry decorator."""

    max_retries: int
    least: timedelta
    most: timedelta
    is_exponential: bool

    def delay(self, attempt: int) -> timedelta:
        """Return the wait before retry number *attempt*, from 0."""
        return min(self.most, self.least * 2**attempt) if self.is_exponential else self.least


@dataclass(frozen=True, slots=True)
class TimerSchedule:
    """A timer trigger."""

    schedule: Ncrontab
    runs_on_startup: bool
    is_monitored: bool
    """Whether its status is kept: not if it comes due within a minute."""


@dataclass(frozen=True, slots=True)
class AppFunction:
    """A function that both worker and host accept."""

    name: str
    trigger: HttpRoute | QueueBinding | TimerSchedule
    outputs: Mapping[str, QueueBinding]
    """Parameters and `$return` that go to queues."""
    http_out: str | None
    """The parameter whose value is the response, if `$return` is not."""
    retry: RetryPolicy | None


def accepted(
    functions: Sequence[Description], options: HostOptions, settings: Mapping[str, str]
) -> tuple[list[AppFunction], list[FunctionRefused]]:
    """Return the *functions* in the order in which routes are tried, and the refused ones.

    Those that a setting ``AzureWebJobs.NAME.Disabled`` turns off are checked and left out.
    HostRefused: a function that takes the host down.
    """
    found: list[AppFunction] = []
    refused: list[FunctionRefused] = []
    names: set[str] = set()
    for each in sorted(functions, key=lambda each: route_order(each.name)):
        if route_order(each.name) in names:
            raise HostRefused(f"two functions are named {each.name!r}, letter case aside")
        names.add(route_order(each.name))
        try:
            function = _function(each, options, settings)
            _check_route(function, found)
        except FunctionRefused as error:
            refused.append(error)
        else:
            found.append(function)
    return [each for each in found if not _is_off(each, settings)], refused


def route_order(name: str) -> str:
    """Return the key by which functions are sorted: .NET compares upper-cased names."""
    return name.upper()


def _is_off(function: AppFunction, settings: Mapping[str, str]) -> bool:
    return settings.get(f"AzureWebJobs.{function.name}.Disabled", "").lower() in {"true", "1"}


def _function(
    described: Description, options: HostOptions, settings: Mapping[str, str]
) -> AppFunction:
    name, bindings = described.name, described.bindings
    _check_bindings(name, bindings, options)
    trigger = next(each for each in bindings if each["type"].endswith("Trigger"))
    outs = [each for each in bindings if not each["type"].endswith("Trigger")]
    return AppFunction(
        name=name,
        trigger=_trigger(name, trigger, options, settings),
        outputs={
            each["name"]: _queue(name, each, settings) for each in outs if each["type"] == QUEUE
        },
        http_out=next((e["name"] for e in outs if e["type"] == HTTP and e["name"] != RETURN), None),
        retry=_retry(described),
    )


def _check_bindings(name: str, bindings: Sequence[Mapping[str, Any]], options: HostOptions) -> None:
    if not _FUNCTION_NAME.fullmatch(name):
        raise FunctionRefused(
            name, "a function's name is a letter, then letters, digits, '_' and '-'"
        )
    seen: set[str] = set()
    for each in bindings:
        binding, type_ = each["name"], each["type"]
        if type_ not in _SUPPORTED:
            raise FunctionRefused(
                name,
                f"the binding {type_!r} is not supported here: only http, queue and timer"
                " bindings are (on Azure: it may work)",
            )
        if not _BINDING_NAME.fullmatch(binding):
            raise FunctionRefused(
                name, f"the binding name {binding!r} must be letters and digits only"
            )
        if binding == RETURN and each["direction"] != "OUT":
            raise FunctionRefused(name, "the binding '$return' must be an output")
        if binding in seen:
            raise FunctionRefused(name, f"two bindings are named {binding!r}")
        seen.add(binding)
        if type_ in {QUEUE, QUEUE_TRIGGER} and not options.has_bundle:
            raise FunctionRefused(
                name,
                f"the binding type {type_!r} is not registered:"
                " host.json needs an extensionBundle with id and version",
            )


def _check_route(function: AppFunction, others: Sequence[AppFunction]) -> None:
    if not isinstance(function.trigger, HttpRoute):
        return
    for other in others:
        if isinstance(other.trigger, HttpRoute) and other.trigger.conflicts_with(function.trigger):
            raise FunctionRefused(
                function.name, f"its route conflicts with the route of the function {other.name!r}"
            )


def _trigger(
    name: str, trigger: Mapping[str, Any], options: HostOptions, settings: Mapping[str, str]
) -> HttpRoute | QueueBinding | TimerSchedule:
    if trigger["type"] == HTTP_TRIGGER:
        return _route(name, trigger, options)
    if trigger["type"] == QUEUE_TRIGGER:
        return _queue(name, trigger, settings)
    return _timer(name, trigger, settings)


def _route(name: str, trigger: Mapping[str, Any], options: HostOptions) -> HttpRoute:
    route = str(trigger.get("route") or name)
    if route.startswith("/") and options.route_prefix:
        raise HostRefused(
            f"the route {route!r} of {name!r} must not start with a slash while there is a"
            " routePrefix"
        )
    if route.strip("/").lower().startswith(_RESERVED):
        raise FunctionRefused(
            name, f"the route {route!r} conflicts with built-in routes (admin…, runtime…)"
        )
    try:
        template = RouteTemplate.parse("/".join(filter(None, [options.route_prefix, route])))
    except ValueError as error:
        raise HostRefused(f"the route {route!r} of {name!r} is refused: {error}") from None
    return HttpRoute(
        template,
        frozenset(str(each).upper() for each in trigger.get("methods") or ()),
        str(trigger.get("authLevel") or "function").lower(),
    )


def _queue(name: str, binding: Mapping[str, Any], settings: Mapping[str, str]) -> QueueBinding:
    queue = _resolved(name, str(binding["queueName"]), settings).lower()
    if not _QUEUE_NAME.fullmatch(queue):
        raise FunctionRefused(name, f"{queue!r} is no queue name (3 to 63 of a-z, 0-9 and '-')")
    connection = str(binding.get("connection") or "AzureWebJobsStorage")
    try:
        check_connection(connection, settings)
    except ValueError as error:
        raise FunctionRefused(name, str(error)) from None
    return QueueBinding(queue, connection)


def _timer(name: str, trigger: Mapping[str, Any], settings: Mapping[str, str]) -> TimerSchedule:
    text = _resolved(name, str(trigger["schedule"]), settings)
    try:
        schedule = Ncrontab.parse(text)
    except ValueError as error:
        raise FunctionRefused(name, f"the schedule is refused: {error}") from None
    wants_monitor = trigger.get("useMonitor") is not False
    is_monitored = wants_monitor and not schedule.is_within_a_minute
    return TimerSchedule(schedule, bool(trigger.get("runOnStartup")), is_monitored)


def _retry(described: Description) -> RetryPolicy | None:
    policy = described.retry
    if not policy:
        return None
    if not any(each["type"] == TIMER_TRIGGER for each in described.bindings):
        _log.warning("%s: retry decorators on this trigger will end on Azure", described.name)
    is_exponential = policy.get("strategy") == "exponential_backoff"
    keys = ("minimum_interval", "maximum_interval") if is_exponential else ("delay_interval",) * 2
    spans = [time_span(str(policy.get(key))) for key in keys]
    if spans[0] is None or spans[1] is None:
        raise FunctionRefused(
            described.name, f'its retry policy needs {" and ".join(keys)} as "hh:mm:ss"'
        )
    return RetryPolicy(int(policy["max_retry_count"]), spans[0], spans[1], is_exponential)


def _resolved(name: str, text: str, settings: Mapping[str, str]) -> str:
    try:
        return resolved(text, settings)
    except KeyError as error:
        raise FunctionRefused(
            name, f"{text!r} does not resolve: there is no setting {error.args[0]!r}"
        ) from None
