"""The cookies of a program that goes through pages as a browser does."""

from email.message import Message
from http.cookiejar import CookieJar
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from urllib.request import Request


class BrowserCookies(CookieJar):
    """Ignores an empty ``Domain``, as browsers do; the base class would refuse the cookie.

    The Functions host writes ``domain=`` into each cookie that names none.

    Source: https://www.rfc-editor.org/rfc/rfc6265#section-5.2.3
    """

    def extract_cookies(self, response: Any, request: "Request") -> None:  # noqa: ANN401  # only `info`
        """Take the cookies of *response*."""
        super().extract_cookies(_Read(response.info()), request)  # type: ignore[arg-type]


class _Read:
    """An answer whose cookies have no empty domain."""

    def __init__(self, headers: Message) -> None:
        self._headers = Message()
        for name, value in headers.items():
            self._headers[name] = value.replace("; domain=;", ";")

    def info(self) -> Message:
        """Return the headers."""
        return self._headers
