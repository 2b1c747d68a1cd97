"""Indexes the app's functions as the worker does, and describes them for the host.

The worker reads each function with `inspect.signature` and `typing.get_type_hints`. One function
that it refuses takes all of them down.

Source: azure-functions-python-worker, `functions.py` and `loader.py` (worker 4.x).
"""

import inspect
import json
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import azure.functions as func
from azure.functions._thirdparty import typing_inspect  # the worker checks with this copy
from azure.functions.decorators.core import Binding
from azure.functions.decorators.function_app import Function

from local.host.errors import WorkerRefused

HTTP: Final = "http"
QUEUE: Final = "queue"
RETURN: Final = "$return"
GENERIC: Final = "generic"

_inspect: Final[Any] = typing_inspect  # untyped
_registry: Final[Callable[[], Any]] = func.get_binding_registry
_OUT: Final = 1  # BindingDirection.OUT


@dataclass(frozen=True, slots=True)
class Description:
    """What the host learns of a function: all of it is text."""

    name: str
    bindings: Sequence[Mapping[str, Any]]
    """As in a `function.json`."""
    retry: Mapping[str, str] | None
    """The settings of its retry decorator."""


@dataclass(frozen=True, slots=True)
class LoadedFunction:
    """A function that the worker accepts."""

    name: str
    call: Callable[..., Any]
    directory: str
    is_async: bool
    wants_context: bool
    trigger_name: str
    """The parameter that gets the trigger's object."""
    trigger_converter: str
    """Its converter: the binding's own, or `generic` for `str` and `bytes`."""
    outputs: Mapping[str, str]
    """The converters of parameters that are outputs."""
    returns: str | None
    """The type of the `$return` binding. Without one, a result is an error."""
    description: Description


def index(functions: Sequence[Function]) -> list[LoadedFunction]:
    """Return the *functions* as the worker loads them. WorkerRefused: the rule that one breaks."""
    return [_indexed(each) for each in functions]


def _indexed(function: Function) -> LoadedFunction:
    name = str(function.get_function_name())
    try:
        return _accepted(name, function)
    except WorkerRefused:
        raise
    except Exception as error:
        raise WorkerRefused.of(name, f"{type(error).__name__}: {error}") from error


def _accepted(name: str, function: Function) -> LoadedFunction:
    bindings = function.get_bindings()
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
        raise WorkerRefused.of(name, "it has no trigger")
    return LoadedFunction(
        name=name,
        call=call,
        directory=str(Path(inspect.getfile(inspect.unwrap(call))).parent),
        is_async=inspect.iscoroutinefunction(call),
        wants_context=wants_context,
        trigger_name=trigger.name,
        trigger_converter=converters[trigger.name],
        outputs={
            each.name: converters[each.name] for each in bound.values() if each.direction == _OUT
        },
        returns=None if returned is None else str(returned.type),
        description=Description(
            name,
            [json.loads(each) for each in function.get_raw_bindings()],
            function.get_settings_dict("retry_policy"),
        ),
    )


def _hints(name: str, call: Callable[..., Any]) -> dict[str, Any]:
    try:
        return typing.get_type_hints(call)
    except Exception as error:
        raise WorkerRefused.of(
            name,
            f"typing.get_type_hints fails: {type(error).__name__}: {error}."
            " Types in a signature are imported for real, never under TYPE_CHECKING",
        ) from error


def _check_context(name: str, hints: Mapping[str, Any]) -> None:
    hint = hints.get("context", func.Context)
    if not isinstance(hint, type) or hint.__name__ != "Context":
        raise WorkerRefused.of(
            name, f"the parameter 'context' must be an azure.functions.Context, not {hint!r}"
        )


def _check_parameters(name: str, declared: set[str], bound: set[str]) -> None:
    if extra := declared - bound:
        raise WorkerRefused.of(
            name,
            f"parameters without a binding: {_listed(extra)} (a default does not help;"
            " a decorator needs functools.wraps)",
        )
    if missing := bound - declared:
        raise WorkerRefused.of(name, f"bindings without a parameter: {_listed(missing)}")


def _converter(name: str, binding: Binding, has_hint: bool, hint: Any) -> str:  # noqa: ANN401, FBT001  # any annotation may stand there
    """Return the converter for the parameter of *binding*, after checking its annotation."""
    binding_type = str(binding.type)
    if not has_hint:
        return binding_type
    is_out = _is_out(hint)
    if is_out != (binding.direction == _OUT):
        wanted = "func.Out[...]" if binding.direction == _OUT else "the trigger's own type"
        raise WorkerRefused.of(
            name, f"the annotation {hint!r} of {binding.name!r} does not fit: it must be {wanted}"
        )
    if is_out:
        hint = _content_of_out(name, binding.name, hint)
    if not isinstance(hint, type) and not _inspect.is_generic_type(hint):
        raise WorkerRefused.of(
            name, f"the annotation {hint!r} of {binding.name!r} is no type (Optional is refused)"
        )
    converter = GENERIC if hint in (str, bytes) else binding_type
    if not _takes(converter, hint, is_out=is_out):
        raise WorkerRefused.of(
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
        raise WorkerRefused.of(name, f"the annotation {hint!r} of {parameter!r} needs one type")
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
        raise WorkerRefused.of(
            name, f"the return annotation {hint!r} is refused: it must be {wanted}, or absent"
        )


def _listed(names: set[str]) -> str:
    return ", ".join(repr(each) for each in sorted(names))
