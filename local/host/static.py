"""Serves a folder of built web pages, as the static site beside the functions would."""

import json
import mimetypes
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final, Self
from urllib.parse import unquote

from aiohttp import web

_CONFIGURATION: Final = "staticwebapp.config.json"
"""The configuration file of Azure Static Web Apps. Its `globalHeaders` apply here as well; it is
not served.
"""


@dataclass(frozen=True)
class StaticSite:
    """A folder and the URL path it is served under."""

    folder: Path
    path: str
    """Starts with a slash and does not end with one; "" is the root."""

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the site of ``DIR=/path``. ValueError for any other text."""
        folder, separator, path = text.rpartition("=")
        if not separator or not path.startswith("/"):
            raise ValueError(f"{text!r} is not DIR=/path")
        if not Path(folder).is_dir():
            raise ValueError(f"{folder!r} is no folder")
        return cls(Path(folder).resolve(), path.rstrip("/"))

    def answer(self, request: web.BaseRequest) -> web.StreamResponse | None:
        """Return the page for *request*, None if it is not for this site.

        A path without a file gets `index.html`, so that a page may route by itself. A path that
        looks like a file gets none, and neither does a caller that does not accept HTML.
        """
        path = unquote(request.raw_path.partition("?")[0])
        if request.method not in {"GET", "HEAD"} or not self._is_under(path):
            return None
        file = self._file(path)
        if file is not None:
            return self._page(file)
        index = self.folder / "index.html"
        wants_page = "text/html" in request.headers.get("Accept", "")
        if not wants_page or "." in path.rpartition("/")[2] or not index.is_file():
            return None
        return self._page(index)

    def _is_under(self, path: str) -> bool:
        return path == self.path or path.startswith(f"{self.path}/")

    def _file(self, path: str) -> Path | None:
        if "\0" in path:
            return None
        file = (self.folder / path.removeprefix(self.path).lstrip("/")).resolve()
        if file.is_dir():
            file /= "index.html"
        # A link or `..` must not lead outside.
        is_ours = file.is_relative_to(self.folder) and file.name != _CONFIGURATION
        return file if is_ours and file.is_file() else None

    @cached_property
    def _headers(self) -> Mapping[str, str]:
        file = self.folder / _CONFIGURATION
        known: dict[str, Any] = json.loads(file.read_text()) if file.is_file() else {}
        headers: dict[str, str] = known.get("globalHeaders", {})
        return headers

    def _page(self, file: Path) -> web.StreamResponse:
        response = _page(file)
        response.headers.update(self._headers)
        return response


def _page(file: Path) -> web.StreamResponse:
    response = web.FileResponse(file)
    kind, _ = mimetypes.guess_type(file.name)
    response.content_type = kind or "application/octet-stream"
    response.headers["Cache-Control"] = "no-cache"
    response.headers["X-Content-Type-Options"] = "nosniff"
    return response
