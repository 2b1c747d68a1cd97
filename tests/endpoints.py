"""The HTTP functions of the app, as they are registered: no list of ours can miss one."""

import functools
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import azure.functions as func

import function_app
from functions._http import Operation
from local.host.templates import RouteTemplate
from local.host.triggers import route_order


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One HTTP function."""

    name: str
    methods: frozenset[str]
    template: RouteTemplate
    handler: Callable[[func.HttpRequest], Awaitable[func.HttpResponse]]
    operation: Operation | None
    """None: not part of the API: Graph's webhook, and what answers on every other path."""


@functools.cache
def endpoints() -> tuple[Endpoint, ...]:
    """Return every HTTP function of the app, in the order in which the host tries them."""
    found = []
    for function in function_app.app.get_functions():
        trigger = function.get_trigger()
        if trigger is None or trigger.type != "httpTrigger":
            continue
        binding = trigger.get_dict_repr()
        handler = function.get_user_function()
        route = str(binding["route"])
        found.append(
            Endpoint(
                str(function.get_function_name()),
                frozenset(str(getattr(m, "value", m)) for m in binding["methods"]),
                RouteTemplate.parse(route),
                handler,
                None if "{*" in route else getattr(handler, "operation", None),
            )
        )
    return tuple(sorted(found, key=lambda each: route_order(each.name)))
