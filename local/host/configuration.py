"""Reads `host.json` and the settings, with the defaults and limits of the real host.

Source: https://learn.microsoft.com/azure/azure-functions/functions-host-json
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

from local.host.errors import HostRefused

DEFAULT_TIMEOUT: Final = timedelta(minutes=30)
MAX_BATCH: Final = 32
_MAX_POLLING: Final = timedelta(minutes=1)
_MIN_POLLING: Final = timedelta(milliseconds=100)
_TIME_SPAN: Final = re.compile(
    r"(?:(?P<days>\d+)\.)?(?P<hours>\d{1,2}):(?P<minutes>\d{2}):(?P<seconds>\d{2})(?P<rest>\.\d{1,7})?"
)
# A setting of this name replaces a value of host.json; each `__` goes one level down.
_OVERRIDE: Final = "AzureFunctionsJobHost__"


@dataclass(frozen=True, slots=True)
class QueueOptions:
    """`extensions.queues`: the polling of queue triggers."""

    batch_size: int = 16
    """Messages taken at once, 1 to 32."""
    new_batch_threshold: int = 8
    """The next batch is taken once only so many are still being handled."""
    max_dequeue_count: int = 5
    visibility_timeout: timedelta = timedelta()
    """How long a message stays hidden after a failed attempt."""
    max_polling_interval: timedelta = _MAX_POLLING
    is_base64: bool = True


@dataclass(frozen=True, slots=True)
class HostOptions:
    """`host.json` after the settings' overrides."""

    route_prefix: str = "api"
    """Lower case, without slashes at its ends; may be empty."""
    custom_headers: tuple[tuple[str, str], ...] = ()
    function_timeout: timedelta | None = DEFAULT_TIMEOUT
    """None: no limit (`-1`)."""
    has_bundle: bool = False
    """Whether `extensionBundle` is set, which provides the queue bindings."""
    queues: QueueOptions = QueueOptions()
    max_body_bytes: int = 100 * 1024 * 1024
    has_home_page: bool = True
    has_telemetry: bool = False
    """Whether Application Insights is connected, which gives functions a trace context."""


def read_options(app_dir: Path, settings: Mapping[str, str]) -> HostOptions:
    """Return the options of the app in *app_dir*.

    Raises:
        HostRefused: host.json is missing, is not JSON, or has a value that the host refuses.
    """
    document = _overridden(_read(app_dir / "host.json"), settings)
    if document.get("version") != "2.0":
        raise HostRefused('host.json: "version" must be "2.0"')
    extensions = _section(document, "extensions")
    http = _section(extensions, "http")
    headers = _section(http, "customHeaders")
    bundle = _section(document, "extensionBundle")
    return HostOptions(
        route_prefix=str(http.get("routePrefix", "api")).strip("/").lower(),
        custom_headers=tuple((str(name), str(value)) for name, value in headers.items()),
        function_timeout=_timeout(document.get("functionTimeout")),
        has_bundle=bool(bundle.get("id")) and bool(bundle.get("version")),
        queues=_queue_options(_section(extensions, "queues")),
        max_body_bytes=int(settings.get("FUNCTIONS_REQUEST_BODY_SIZE_LIMIT", 100 * 1024 * 1024)),
        has_home_page=settings.get("AzureWebJobsDisableHomepage", "").lower() != "true",
        has_telemetry=bool(settings.get("APPLICATIONINSIGHTS_CONNECTION_STRING")),
    )


def time_span(text: str) -> timedelta | None:
    """Return the .NET time span *text* (``[d.]hh:mm:ss[.fffffff]``), None if it is none."""
    found = _TIME_SPAN.fullmatch(text)
    if not found:
        return None
    return timedelta(
        days=int(found["days"] or 0),
        hours=int(found["hours"]),
        minutes=int(found["minutes"]),
        seconds=int(found["seconds"]) + float(found["rest"] or 0),
    )


def resolved(text: str, settings: Mapping[str, str]) -> str:
    """Return *text* with each ``%NAME%`` replaced by that setting. KeyError names a missing one."""
    return re.sub(r"%([^%]+)%", lambda found: settings[found[1]], text)


def _read(path: Path) -> dict[str, Any]:
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {"version": "2.0"}  # the host writes such a one
    except ValueError as error:
        raise HostRefused(f"host.json is no JSON: {error}") from error
    if not isinstance(document, dict):
        raise HostRefused("host.json must hold an object")
    return document


def _overridden(document: dict[str, Any], settings: Mapping[str, str]) -> dict[str, Any]:
    for name, value in settings.items():
        if not name.startswith(_OVERRIDE):
            continue
        *levels, last = name.removeprefix(_OVERRIDE).split("__")
        section = document
        for level in levels:
            section = section.setdefault(level, {})
        section[last] = value
    return document


def _section(parent: Mapping[str, Any], name: str) -> dict[str, Any]:
    section = parent.get(name, {})
    if not isinstance(section, dict):
        raise HostRefused(f"host.json: {name!r} must be an object")
    return section


def _timeout(value: Any) -> timedelta | None:  # noqa: ANN401  # any JSON may stand there
    if value is None:
        return DEFAULT_TIMEOUT
    if str(value) == "-1":
        return None
    span = time_span(str(value))
    if not span:
        raise HostRefused(f'host.json: functionTimeout {value!r} is neither "hh:mm:ss" nor "-1"')
    return span


def _queue_options(section: Mapping[str, Any]) -> QueueOptions:
    batch_size = _whole(section, "batchSize", 16, least=1, most=MAX_BATCH)
    encoding = str(section.get("messageEncoding", "base64")).lower()
    if encoding not in {"base64", "none"}:
        raise HostRefused(f"host.json: messageEncoding {encoding!r} is neither base64 nor none")
    return QueueOptions(
        batch_size=batch_size,
        new_batch_threshold=_whole(section, "newBatchThreshold", batch_size // 2, least=0),
        max_dequeue_count=_whole(section, "maxDequeueCount", 5, least=1),
        visibility_timeout=_span(section, "visibilityTimeout", timedelta()),
        max_polling_interval=_polling(section),
        is_base64=encoding == "base64",
    )


def _polling(section: Mapping[str, Any]) -> timedelta:
    span = _span(section, "maxPollingInterval", _MAX_POLLING)
    if span < _MIN_POLLING:
        raise HostRefused("host.json: maxPollingInterval must be at least 100 milliseconds")
    return span


def _whole(
    section: Mapping[str, Any], name: str, default: int, *, least: int, most: int | None = None
) -> int:
    try:
        value = int(section.get(name, default))
    except (TypeError, ValueError):
        raise HostRefused(f"host.json: {name} must be a whole number") from None
    if value < least or (most is not None and value > most):
        limit = f"{least} or more" if most is None else f"between {least} and {most}"
        raise HostRefused(f"host.json: {name} must be {limit}")
    return value


def _span(section: Mapping[str, Any], name: str, default: timedelta) -> timedelta:
    if name not in section:
        return default
    value = section[name]
    # Queue settings were milliseconds in the past; the host still accepts them.
    span = timedelta(milliseconds=value) if isinstance(value, int) else time_span(str(value))
    if span is None:
        raise HostRefused(f'host.json: {name} must be "hh:mm:ss"')
    return span
