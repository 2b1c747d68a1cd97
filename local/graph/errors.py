"""Errors as Graph sends them: a status, a code to branch on, a message to read."""

import uuid
from datetime import datetime
from typing import Any, TypeAlias

Json: TypeAlias = dict[str, Any]


class GraphError(Exception):
    """An answer other than a success. *extra* goes inside ``error``, beside the code."""

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        headers: dict[str, str] | None = None,
        extra: Json | None = None,
    ) -> None:
        super().__init__(f"{status} {code}: {message}")
        self.status = status
        self.code = code
        self.message = message
        self.headers = headers or {}
        self.extra = extra or {}

    def body(self, now: datetime, request_id: str, client_request_id: str | None) -> Json:
        """Return the error body, with ``innerError``.

        Source: https://learn.microsoft.com/graph/errors
        """
        inner = {
            "date": f"{now:%Y-%m-%dT%H:%M:%S}",
            "request-id": request_id,
            "client-request-id": client_request_id or request_id,
        }
        error = {"code": self.code, "message": self.message} | self.extra
        return {"error": error | {"innerError": inner}}


class ConnectionLost(Exception):
    """The connection breaks: the caller gets no answer."""


def new_request_id() -> str:
    """Return a fresh ``request-id``."""
    return str(uuid.uuid4())


def bad_request(message: str, code: str = "BadRequest") -> GraphError:
    """400: the app's request is wrong."""
    return GraphError(400, code, message)


def invalid_property(name: str) -> GraphError:
    """Outlook's 400 for the value of a property."""
    return GraphError(
        400,
        "ErrorPropertyValidationFailure",
        f"At least one property failed validation: '{name}'.",
    )


def item_not_found() -> GraphError:
    """404 of an event which is gone, or was never in this mailbox."""
    return GraphError(404, "ErrorItemNotFound", "The specified object was not found in the store.")


def foreign_item(item_id: str, address: str) -> GraphError:
    """404 of an id that belongs to another mailbox."""
    return GraphError(
        404,
        "ErrorInvalidMailboxItemId",
        f"Item '{item_id}' doesn't belong to the targeted mailbox '{address}'.",
    )


def already_deleted() -> GraphError:
    """403 of a second DELETE by immutable id: the item lies in Deleted Items."""
    return GraphError(403, "ErrorCannotDeleteObject", "Object cannot be deleted.")


def invalid_recipients() -> GraphError:
    """400 of a new event with an unknown recipient. The event is there all the same.

    Source: https://github.com/microsoftgraph/msgraph-sdk-php/issues/280
    """
    return GraphError(400, "ErrorInvalidRecipients", "At least one recipient isn't valid.")


def access_denied() -> GraphError:
    """403 of an Outlook call."""
    return GraphError(
        403, "ErrorAccessDenied", "Access is denied. Check credentials and try again."
    )


def blocked_by_policy() -> GraphError:
    """403 of an application access policy."""
    return GraphError(
        403,
        "ErrorAccessDenied",
        "Access to OData is disabled: [RAOP] : Blocked by tenant configured AppOnly "
        "AccessPolicy settings.",
    )


def insufficient_privileges() -> GraphError:
    """403 of a directory call."""
    return GraphError(
        403,
        "Authorization_RequestDenied",
        "Insufficient privileges to complete the operation.",
    )


def mailbox_not_enabled() -> GraphError:
    """404 of a mailbox on premises, without licence, or absent. Graph does not distinguish them."""
    return GraphError(
        404,
        "MailboxNotEnabledForRESTAPI",
        "The mailbox is either inactive, soft-deleted, or is hosted on-premise.",
    )


def invalid_user(user: str) -> GraphError:
    """404 of an Outlook call for an unknown user."""
    return GraphError(404, "ErrorInvalidUser", f"The requested user '{user}' is invalid.")


def resource_not_found(resource: str, code: str = "Request_ResourceNotFound") -> GraphError:
    """404 of a directory call."""
    return GraphError(
        404,
        code,
        f"Resource '{resource}' does not exist or one of its queried reference-property "
        "objects are not present.",
    )


def invalid_token(message: str) -> GraphError:
    """401 with the challenge."""
    return GraphError(
        401,
        "InvalidAuthenticationToken",
        message,
        headers={
            "WWW-Authenticate": 'Bearer realm="", authorization_uri='
            '"https://login.microsoftonline.com/common/oauth2/authorize", '
            'client_id="00000003-0000-0000-c000-000000000000"'
        },
    )
