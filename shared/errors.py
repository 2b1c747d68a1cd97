"""The errors of this service.

SchedulingError
├── Invalid                       the request is not understood; names the field
├── NotAuthenticated              no valid token
│   └── SignInAgain               the tenant demands more of the user (claims challenge)
├── NotAllowed                    the caller is known, and may not do this
├── NotFound                      no such thing for this caller
├── Conflict                      the state does not allow it
│   ├── SlotTaken                 a participant is busy, or another session holds the time
│   ├── SlotUnknown               a calendar could not be read: unknown is not free
│   ├── StaleRow                  the row changed since it was read
│   └── MailboxUnusable           the person has no calendar that Graph can reach
├── PreconditionFailed            If-Match names another version
├── KeyReused                     the Idempotency-Key belongs to another request
├── LimitReached                  the caller, or their organization, does too much at a time
├── ConsentMissing                the tenant has not granted what the call needs
├── CalendarError                 Graph or Entra did not do it
│   ├── CalendarThrottled         Graph asked to wait
│   ├── CalendarUnavailable       a later retry may succeed
│   │   └── EventUnreadable       the answer about an event cannot be read
│   │       ├── ListingEndless    a listing does not end
│   │       └── SplitUnclear      several series may have a date
│   ├── CalendarRefused           a definite no, with Graph's code
│   │   └── ForeignId             the id is that of another mailbox's item
│   └── EventGone                 the event is not there any more
├── StoreUnavailable              Table Storage or a queue did not answer
├── TookTooLong                   the request's time limit is over
└── Misconfigured                 a setting or secret of this deployment is wrong
"""

from collections.abc import Sequence
from typing import Any


class SchedulingError(Exception):
    """Base of all errors of this service. *remedy*: an action that mends it, for people."""

    remedy: str | None = None

    def __init__(self, message: str, *, remedy: str | None = None) -> None:
        super().__init__(message)
        if remedy is not None:
            self.remedy = remedy


class Invalid(SchedulingError):
    """The request is not understood. *field* is a path such as ``body.start``."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field


class NotAuthenticated(SchedulingError):
    """There is no token, or it is not valid here."""


class SignInAgain(NotAuthenticated):
    """Entra demands more of the user. *claims*: the challenge as JSON text, for MSAL."""

    def __init__(self, message: str, *, claims: str | None = None) -> None:
        super().__init__(message, remedy="Sign in again; the frontend passes on the claims.")
        self.claims = claims


class NotAllowed(SchedulingError):
    """The caller is known and may see the thing, but not do this."""


class NotFound(SchedulingError):
    """There is no such thing for this caller. The error is the same if another caller has it."""


class Conflict(SchedulingError):
    """The state of things does not allow it."""


class SlotTaken(Conflict):
    """A participant is not free. *alternatives*: slots that were free, nearest first.

    *conflicts*: the dates of a series that are not free, each with its alternatives.
    """

    def __init__(
        self, message: str, *, alternatives: Sequence[Any] = (), conflicts: Sequence[Any] = ()
    ) -> None:
        super().__init__(
            message, remedy="Pick one of the alternatives, or ask for availability again."
        )
        self.alternatives = tuple(alternatives)
        self.conflicts = tuple(conflicts)


class SlotUnknown(Conflict):
    """A participant's calendar could not be read.

    *unknown*: the participants and the reasons, set by booking.
    """

    def __init__(
        self, message: str, *, unknown: Sequence[Any] = (), alternatives: Sequence[Any] = ()
    ) -> None:
        super().__init__(message, remedy="Ask them, or book all the same: they get the invitation.")
        self.unknown = tuple(unknown)
        self.alternatives = tuple(alternatives)


class StaleRow(Conflict):
    """ETag conflict: the row changed since it was read. The caller reads it and decides again."""


class MailboxUnusable(Conflict):
    """Graph cannot reach the person's mailbox. *code*: Graph's error code."""

    def __init__(self, message: str, *, code: str, remedy: str | None = None) -> None:
        super().__init__(message, remedy=remedy)
        self.code = code


class PreconditionFailed(SchedulingError):
    """If-Match names a version that is not the present one."""

    remedy = "Read it again, look at what changed, and repeat with the new ETag."


class KeyReused(SchedulingError):
    """The same Idempotency-Key came with another request."""

    remedy = "Use a new key for a new booking; repeat a key only with the same body."


class LimitReached(SchedulingError):
    """The caller, or their organization, has done as much as is allowed for now."""

    def __init__(self, message: str, *, retry_after_seconds: float, remedy: str) -> None:
        super().__init__(message, remedy=remedy)
        self.retry_after_seconds = retry_after_seconds


class ConsentMissing(SchedulingError):
    """The tenant has not granted what the call needs. *aadsts*: Entra's error number, if known."""

    def __init__(
        self, message: str, *, aadsts: int | None = None, remedy: str | None = None
    ) -> None:
        super().__init__(message, remedy=remedy)
        self.aadsts = aadsts


class CalendarError(SchedulingError):
    """A call to Graph or Entra failed.

    *code*: Microsoft's error code. *status*: of HTTP, 0 without an answer. *request_id*: the id
    that Microsoft's support asks for.
    """

    def __init__(
        self,
        message: str,
        *,
        code: str = "",
        status: int = 0,
        request_id: str = "",
        retry_after_seconds: float | None = None,
        remedy: str | None = None,
    ) -> None:
        super().__init__(message, remedy=remedy)
        self.code = code
        self.status = status
        self.request_id = request_id
        self.retry_after_seconds = retry_after_seconds


class CalendarThrottled(CalendarError):
    """Graph asked to wait *retry_after_seconds* (None: the answer has no time)."""


class CalendarUnavailable(CalendarError):
    """A passing failure; the outcome of a write is unknown."""


class EventUnreadable(CalendarUnavailable):
    """Graph's answer about an event cannot be read: its times, or a part that every event has."""


class ListingEndless(EventUnreadable):
    """A listing of Graph does not end: whether it has an item that was not seen is unknown."""


class SplitUnclear(EventUnreadable):
    """Several series in Outlook may go on with one: the event of a date is unknown."""

    remedy = "The organizer keeps one of these series in Outlook and cancels the others."

    def __init__(self) -> None:
        super().__init__("Several series in Outlook may go on with this one.")


class CalendarRefused(CalendarError):
    """Graph definitely refused: a retry gets the same answer."""


class ForeignId(CalendarRefused):
    """The id belongs to an item of another mailbox: a fault of ours, and likely not of one id."""


class EventGone(CalendarError):
    """The event is not in this mailbox: cancelled, deleted or moved away."""


class StoreUnavailable(SchedulingError):
    """Our storage did not answer; a later retry may succeed."""


class TookTooLong(SchedulingError):
    """The request exceeded its time limit; the outcome of a write is unknown."""


class Misconfigured(SchedulingError):
    """This deployment lacks a setting or secret; only its operator can mend it."""
