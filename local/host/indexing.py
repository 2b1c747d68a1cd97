"""Indexes the app's functions as the worker does, then checks what the host checks.

The worker reads each function with `inspect.signature` and `typing.get_type_hints`. This module
refuses what the worker and the host refuse, and names the function and the rule.

Source: azure-functions-python-worker, `functions.py` and `loader.py` (worker 4.x); the host's
`ScriptHost` and `Utility` (4.1037).
"""

import inspect
import re
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import azure.functions as func
from azure.functions._thirdparty import typing_inspect  # the worker checks with this copy
from azure.functions.decorators.core import Binding
from azure.functions.decorators.function_app import Function

from local.host.configuration import HostOptions, resolved, time_span
from local.host.connections import check_connection
from local.host.errors import FunctionRefused
from local.host.ncrontab import Ncrontab
from local.host.templates import RouteTemplate

HTTP_TRIGGER: Final = "httpTrigger"
HTTP: Final = "http"
QUEUE_TRIGGER: Final = "queueTrigger"
QUEUE: Final = "queue"
TIMER_TRIGGER: Final = "timerTrigger"
RETURN: Final = "$return"
GENERIC: Final = "generic"
ALL_METHODS: Final = frozenset({"GET", "POST", "DELETE", "HEAD", "PATCH", "PUT", "OPTIONS"})

_inspect: Final[Any] = typing_inspect  # untyped
_registry: Final[Callable[[], Any]] = func.get_binding_registry

_SUPPORTED: Final = frozenset({HTTP_TRIGGER, HTTP, QUEUE_TRIGGER, QUEUE, TIMER_TRIGGER})
_OUT: Final = 1  # BindingDirection.OUT
_FUNCTION_NAME: Final = re.compile(r"(?!host$)[a-z][a-z0-9_-]{0,127}", re.IGNORECASE)
_BINDING_NAME: Final = re.compile(r"[a-zA-Z][a-zA-Z0-9]{0,127}|\$return")
_QUEUE_NAME: Final = re.compile(r"(?=.{3,63}$)[a-z0-9]+(?:-[a-z0-9]+)*")
_RESERVED: Final = ("admin", "runtime")


@dataclass(frozen=True, slots=True)
class HttpRoute:
    """An HTTP trigger."""

    template: RouteTemplate
    methods: frozenset[str]
    level: str
    """`anonymous`, `function` or `admin`."""


@dataclass(frozen=True, slots=True)
class QueueBinding:
    """A queue, as trigger or as output."""

    queue: str
    connection: str
    """The name of the setting, or the prefix of the settings, with its address."""


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """The number and delay of a failed timer's retries."""

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
    retry: RetryPolicy | None


@dataclass(frozen=True, slots=True)
class IndexedFunction:
    """A function that both worker and host accept."""

    name: str
    call: Callable[..., Any]
    directory: str
    is_async: bool
    wants_context: bool
    trigger_name: str
    """The parameter that gets the trigger's object."""
    trigger_converter: str
    """Its converter: the binding's own, or `generic` for `str` and `bytes`."""
    trigger: HttpRoute | QueueBinding | TimerSchedule
    outputs: Mapping[str, tuple[str, QueueBinding]]
    """Parameters and `$return` that go to queues, each with its converter."""
    returns_http: bool
    http_out: str | None = None
    """The parameter whose value is the response, if `$return` is not."""

    @property
    def has_return(self) -> bool:
        """Whether its result goes to a binding. If not, a result is an error."""
        return self.returns_http or RETURN in self.outputs


def index(
    functions: Sequence[Function], options: HostOptions, settings: Mapping[str, str]
) -> list[IndexedFunction]:
    """Return the *functions* in the order in which routes are tried: by name.

    Those that a setting ``AzureWebJobs.NAME.Disabled`` turns off are checked and left out.

    Raises:
        FunctionRefused: the first rule that one of them breaks.
    """
    found = [_indexed(each, options, settings) for each in functions]
    found.sort(key=lambda each: (each.name.lower(), each.name))
    _check_unique(found)
    return [
        each
        for each in found
        if settings.get(f"AzureWebJobs.{each.name}.Disabled", "").lower() not in {"true", "1"}
    ]


def _indexed(
    function: Function, options: HostOptions, settings: Mapping[str, str]
) -> IndexedFunction:
    name = str(function.get_function_name())
    try:
        return _accepted(name, function, options, settings)
    except FunctionRefused:
        raise
    except Exception as error:
        raise FunctionRefused(name, f"{type(error).__name__}: {error}") from error


def _accepted(
    name: str, function: Function, options: HostOptions, settings: Mapping[str, str]
) -> IndexedFunction:
    bindings = function.get_bindings()
    _check_bindings(name, bindings, options)
    call = function.get_user_function()
    bound = {each.name: each for each in bindings if each.name != RETURN}
    hints = _hints(name, call)
    parameters = set(inspect.signature(call).parameters)
    wants_context = "context" in parameters and "context" not in bound
    if wants_context:
        parameters.discard("context")
        _check_context(name, hints)
    _check_parameters(name, parameters, set(bound))
    converters = {
        parameter: _converter(name, bound[parameter], parameter in hints, hints.get(parameter))
        for parameter in bound
    }
    returned = next((each for each in bindings if each.name == RETURN), None)
    if returned is not None and "return" in hints:
        _check_return(name, returned, hints["return"])
    trigger = function.get_trigger()
    if trigger is None:
        raise FunctionRefused(name, "it has no trigger")
    outputs = {
        each.name: (converters.get(each.name, QUEUE), _queue(name, each, settings))
        for each in bindings
        if each.type == QUEUE
    }
    return IndexedFunction(
        name=name,
        call=call,
        directory=str(Path(inspect.getfile(inspect.unwrap(call))).parent),
        is_async=inspect.iscoroutinefunction(call),
        wants_context=wants_context,
        trigger_name=trigger.name,
        trigger_converter=converters[trigger.name],
        trigger=_trigger(name, function, trigger, options, settings),
        outputs=outputs,
        returns_http=returned is not None and returned.type == HTTP,
        http_out=next((each.name for each in bound.values() if each.type == HTTP), None),
    )


# --- the worker's checks


def _hints(name: str, call: Callable[..., Any]) -> dict[str, Any]:
    try:
        return typing.get_type_hints(call)
    except Exception as error:
        raise FunctionRefused(
            name,
            f"typing.get_type_hints fails: {type(error).__name__}: {error}."
            " Types in a signature are imported for real, never under TYPE_CHECKING",
        ) from error


def _check_context(name: str, hints: Mapping[str, Any]) -> None:
    hint = hints.get("context", func.Context)
    if not isinstance(hint, type) or hint.__name__ != "Context":
        raise FunctionRefused(
            name, f"the parameter 'context' must be an azure.functions.Context, not {hint!r}"
        )


def _check_parameters(name: str, declared: set[str], bound: set[str]) -> None:
    if extra := declared - bound:
        raise FunctionRefused(
            name,
            f"parameters without a binding: {_listed(extra)} (a default does not help;"
            " a decorator needs functools.wraps)",
        )
    if missing := bound - declared:
        raise FunctionRefused(name, f"bindings without a parameter: {_listed(missing)}")


def _converter(name: str, binding: Binding, has_hint: bool, hint: Any) -> str:  # noqa: ANN401, FBT001  # any annotation may stand there
    """Return the converter for the parameter of *binding*, after checking its annotation."""
    binding_type = str(binding.type)
    if not has_hint:
        return binding_type
    is_out = _is_out(hint)
    if is_out != (binding.direction == _OUT):
        wanted = "func.Out[...]" if binding.direction == _OUT else "the trigger's own type"
        raise FunctionRefused(
            name, f"the annotation {hint!r} of {binding.name!r} does not fit: it must be {wanted}"
        )
    if is_out:
        hint = _content_of_out(name, binding.name, hint)
    if not isinstance(hint, type) and not _inspect.is_generic_type(hint):
        raise FunctionRefused(
            name, f"the annotation {hint!r} of {binding.name!r} is no type (Optional is refused)"
        )
    converter = GENERIC if hint in (str, bytes) else binding_type
    if not _takes(converter, hint, is_out=is_out):
        raise FunctionRefused(
            name,
            f"the annotation {hint!r} of {binding.name!r} does not match its binding"
            f" {binding_type!r}",
        )
    return converter


def _is_out(hint: Any) -> bool:  # noqa: ANN401
    origin = _inspect.get_origin(hint) if _inspect.is_generic_type(hint) else None
    subject = origin if origin is not None else hint
    return isinstance(subject, type) and subject.__name__ == "Out"


def _content_of_out(name: str, parameter: str, hint: Any) -> Any:  # noqa: ANN401
    content = typing.get_args(hint)
    if len(content) != 1:
        raise FunctionRefused(name, f"the annotation {hint!r} of {parameter!r} needs one type")
    return content[0]


def _takes(converter: str, hint: Any, *, is_out: bool) -> bool:  # noqa: ANN401
    if converter == GENERIC:
        return True
    known = _registry().get(converter)
    if is_out:
        check = getattr(known, "check_output_type_annotation", None)
    else:
        check = getattr(known, "check_input_type_annotation", None)
    return check is not None and bool(check(hint))


def _check_return(name: str, binding: Binding, hint: Any) -> None:  # noqa: ANN401
    known = _registry().get(str(binding.type))
    wanted = "func.HttpResponse or str" if binding.type == HTTP else "str, bytes or QueueMessage"
    if not isinstance(hint, type) or not known.check_output_type_annotation(hint):
        raise FunctionRefused(
            name, f"the return annotation {hint!r} is refused: it must be {wanted}, or absent"
        )


# --- the host's checks


def _check_bindings(name: str, bindings: Sequence[Binding], options: HostOptions) -> None:
    if not _FUNCTION_NAME.fullmatch(name):
        raise FunctionRefused(
            name, "a function's name is a letter, then letters, digits, '_' and '-'"
        )
    seen: set[str] = set()
    for each in bindings:
        if each.type not in _SUPPORTED:
            raise FunctionRefused(
                name,
                f"the binding {each.type!r} is not supported here:"
                " only http, queue and timer bindings are",
            )
        if not _BINDING_NAME.fullmatch(each.name):
            raise FunctionRefused(
                name, f"the binding name {each.name!r} must be letters and digits only"
            )
        if each.name == RETURN and each.direction != _OUT:
            raise FunctionRefused(name, "the binding '$return' must be an output")
        if each.name in seen:
            raise FunctionRefused(name, f"two bindings are named {each.name!r}")
        seen.add(each.name)
        if each.type in {QUEUE, QUEUE_TRIGGER} and not options.has_bundle:
            raise FunctionRefused(
                name,
                f"the binding type {each.type!r} is not registered:"
                " host.json needs an extensionBundle with id and version",
            )


def _trigger(
    name: str,
    function: Function,
    trigger: Binding,
    options: HostOptions,
    settings: Mapping[str, str],
) -> HttpRoute | QueueBinding | TimerSchedule:
    if trigger.type == HTTP_TRIGGER:
        return _route(name, trigger, options)
    if trigger.type == QUEUE_TRIGGER:
        return _queue(name, trigger, settings)
    return _timer(name, function, trigger, settings)


def _route(name: str, trigger: Any, options: HostOptions) -> HttpRoute:  # noqa: ANN401
    route = str(trigger.route or name)
    if route.startswith("/") and options.route_prefix:
        raise FunctionRefused(
            name, f"the route {route!r} must not start with a slash while there is a routePrefix"
        )
    if route.strip("/").lower().startswith(_RESERVED):
        raise FunctionRefused(
            name, f"the route {route!r} conflicts with built-in routes (admin…, runtime…)"
        )
    try:
        template = RouteTemplate.parse("/".join(filter(None, [options.route_prefix, route])))
    except ValueError as error:
        raise FunctionRefused(name, f"the route {route!r} is refused: {error}") from None
    methods = trigger.methods or ()
    return HttpRoute(
        template,
        frozenset(str(each.value).upper() for each in methods) or ALL_METHODS,
        str((trigger.auth_level or func.AuthLevel.FUNCTION).value),
    )


def _queue(name: str, binding: Any, settings: Mapping[str, str]) -> QueueBinding:  # noqa: ANN401
    queue = _resolved(name, str(binding.queue_name), settings).lower()
    if not _QUEUE_NAME.fullmatch(queue):
        raise FunctionRefused(name, f"{queue!r} is no queue name (3 to 63 of a-z, 0-9 and '-')")
    connection = str(binding.connection or "AzureWebJobsStorage")
    try:
        check_connection(connection, settings)
    except ValueError as error:
        raise FunctionRefused(name, str(error)) from None
    return QueueBinding(queue, connection)


def _timer(
    name: str,
    function: Function,
    trigger: Any,  # noqa: ANN401
    settings: Mapping[str, str],
) -> TimerSchedule:
    text = _resolved(name, str(trigger.schedule), settings)
    try:
        schedule = Ncrontab.parse(text)
    except ValueError as error:
        raise FunctionRefused(name, f"the schedule is refused: {error}") from None
    return TimerSchedule(schedule, bool(trigger.run_on_startup), _retry(name, function))


def _retry(name: str, function: Function) -> RetryPolicy | None:
    policy = function.get_settings_dict("retry_policy")
    if not policy:
        return None
    is_exponential = policy.get("strategy") == "exponential_backoff"
    keys = ("minimum_interval", "maximum_interval") if is_exponential else ("delay_interval",) * 2
    spans = [time_span(str(policy.get(key))) for key in keys]
    if spans[0] is None or spans[1] is None:
        raise FunctionRefused(name, f'its retry policy needs {" and ".join(keys)} as "hh:mm:ss"')
    return RetryPolicy(int(policy["max_retry_count"]), spans[0], spans[1], is_exponential)


def _resolved(name: str, text: str, settings: Mapping[str, str]) -> str:
    try:
        return resolved(text, settings)
    except KeyError as error:
        raise FunctionRefused(
            name, f"{text!r} does not resolve: there is no setting {error.args[0]!r}"
        ) from None


def _check_unique(functions: Sequence[IndexedFunction]) -> None:
    """Refuse two functions of one name (letter case aside) and two of one route and method."""
    names: set[str] = set()
    routes: list[tuple[str, HttpRoute]] = []
    for each in functions:
        if each.name.lower() in names:
            raise FunctionRefused(each.name, "another function has this name")
        names.add(each.name.lower())
        if not isinstance(each.trigger, HttpRoute):
            continue
        for other, route in routes:
            is_same = route.template.text.lower() == each.trigger.template.text.lower()
            if is_same and route.methods & each.trigger.methods:
                raise FunctionRefused(
                    each.name, f"its route conflicts with the route of the function {other!r}"
                )
        routes.append((each.name, each.trigger))


def _listed(names: set[str]) -> str:
    return ", ".join(repr(each) for each in sorted(names))
