"""The simulated Graph's behaviour: one field per behaviour that the app must survive either way."""

from dataclasses import asdict, dataclass, field, fields
from typing import Any, Literal, get_args, get_origin, get_type_hints

ListingEnd = Literal["ends", "empty first", "repeats", "never", "leads back", "leads away"]
TeamsLink = Literal["at once", "late", "never", "null", "swapped"]
OriginalZoneNames = Literal["own", "custom", "utc of occurrences"]


@dataclass(slots=True)
class BehaviorFlags:
    """All switches. Each default is the most benign real behaviour, except for duplicates: on."""

    # Mail and Outlook
    mail_delay_seconds: float = 1.0
    """Delay until an invitation, update, cancellation or answer reaches the other mailbox."""
    duplicate_transaction_status: Literal[400, 409] = 400
    duplicate_transaction_names_event: bool = False
    """Put the first event's id into the error as ``@event.existingEventId``."""
    remember_transactions: bool = True
    """Refuse a transactionId also after its event is gone."""
    comments_are_html: bool = False
    """Outlook shows the comment of an answer or a cancellation as HTML, instead of as text."""
    deleted_items_readable: bool = False
    """Answer a GET of an event in Deleted Items by immutable id, instead of 404."""
    events_of_default_calendar: bool = False
    """A mailbox's events are those of its default calendar alone."""
    show_main_address: bool = True
    """Events show the main address of an attendee who was invited by an alias."""
    foreign_id_code: Literal["ErrorInvalidMailboxItemId", "ErrorItemNotFound"] = (
        "ErrorInvalidMailboxItemId"
    )
    """The code of the 404 for an id that belongs to another mailbox."""
    new_events_hidden_seconds: float = 0.0
    """For so long after its creation no id of an event is found; lists and filters show it."""
    invalid_recipients: list[str] = field(default_factory=list)
    """Addresses that cannot be resolved: creating an event with one of them creates it, and
    answers 400 ``ErrorInvalidRecipients``."""
    answers_from: Literal["address", "x500"] = "address"
    """The sender of answers: an X.500 address is matched with no attendee, and adds one."""
    organizer_hears_of_deletion: bool = False
    """If an attendee deletes their own copy, the organizer sees a declined response."""
    split_copies_properties: bool = False
    """The new series that Outlook makes of "this and following" has the old one's properties."""
    occurrence_answers_are_exceptions: bool = True
    """An answer to one occurrence turns it into an ``exception``."""
    original_zone_names: OriginalZoneNames = "own"
    """``originalStartTimeZone``: the event's zone; that of a zone which Outlook made of old rules;
    or UTC for the occurrences of a series."""
    series_notifications: Literal["occurrence", "master", "both"] = "both"
    """The event named by a notification after one occurrence changed."""
    etag_conflict_status: Literal[409, 412] = 412
    shared_mailboxes_stale_by_name: bool = False
    """Shared mailboxes answer 503 by user principal name, for ever."""

    # Teams
    teams: TeamsLink = "at once"
    teams_delay_seconds: float = 5.0
    teams_url: Literal["classic", "short"] = "classic"
    skype_still_listed: bool = False
    """Calendars list ``skypeForBusiness`` among the allowed providers."""
    skype_still_works: bool = False
    """Where it is listed, it gives a link."""
    refuse_unlisted_provider: bool = False
    """400 for a provider that the calendar does not allow, instead of 201 without a meeting."""

    # Free/busy
    schedule_without_items: list[str] = field(default_factory=list)
    """Addresses whose answer has a view but no items."""
    schedule_without_view: list[str] = field(default_factory=list)
    schedule_no_data: dict[str, list[int]] = field(default_factory=dict)
    """Address to two hours of the day (UTC), between which its view says 5, no data."""
    schedule_digits: dict[str, int] = field(default_factory=dict)
    """Address to the number of digits that its view has too many, or too few (negative)."""
    schedule_first_item_only: list[str] = field(default_factory=list)
    """Addresses whose answer leaves out the other items; the view has them."""
    schedule_free_view: list[str] = field(default_factory=list)
    """Addresses whose view is free throughout; the items are not."""
    schedule_errors: dict[str, str] = field(default_factory=dict)
    """Address to responseCode, answered for that mailbox inside the 200."""
    schedule_all_day_as_dates: bool = False
    """All-day entries as midnight to midnight UTC, as in events, instead of their true instants."""
    schedule_too_many_entries: bool = False
    """Refuse every call with 5006, for any number of entries."""
    schedule_too_many_answers: Literal["call", "mailbox"] = "call"
    """Whether 5006 is the whole call's status 400 or one mailbox's error."""
    schedule_entries_limit: int = 1000
    schedule_window_days: int = 62
    schedule_on_premises_answers: bool = True

    # Permissions
    rbac: dict[str, list[str]] = field(default_factory=dict)
    """Tenant to permissions granted in Exchange alone: good for people in scope, without roles."""
    rbac_subscriptions: bool = True
    """Whether Exchange grants alone suffice to subscribe."""
    access_policy: list[str] = field(default_factory=list)
    """Tenants with an application access policy: people out of scope are blocked."""

    # Subscriptions
    handshake_seconds: float = 10.0
    subscription_minutes: int = 10_070
    refuse_second_subscription: bool = False
    """409 for the same app, tenant, resource and changeType."""
    tell_of_expiry: bool = True
    """Send ``subscriptionRemoved`` when one ends by itself and has a lifecycle URL."""

    # Notifications
    lifecycle_shape: Literal["live", "printed"] = "live"
    """Lifecycle notifications as the live service writes them, with `organizationId` and the
    subscription as `resourceData`, or as the documentation prints them, with `tenantId`."""
    keep_while_paused: bool = False
    """Deliver after a reauthorization what changed while it was due, instead of losing it."""
    notification_delay_seconds: float = 1.0
    notification_spread_seconds: float = 1.0
    """A random share of this on top of the delay."""
    notification_window_seconds: float = 0.5
    """Notifications due within one window share a POST."""
    notification_batch: int = 100
    """At most so many in one POST."""
    duplicates: int = 2
    """At most so many *further* copies of a notification; at random from none."""
    reorder: bool = False
    drop_share: float = 0.0
    tell_missed: bool = True
    """Send ``missed`` for dropped notifications, if there is a lifecycle URL."""
    wrong_client_state_share: float = 0.0
    omit_notification_id: bool = False
    late_share: float = 0.0
    late_by_seconds: float = 3600.0
    answer_seconds: float = 3.0
    """The webhook's deadline on a first delivery."""
    retry_answer_seconds: float = 10.0
    retry_first_seconds: float = 10.0
    """Pause before the first retry; it doubles each time."""
    retry_for_seconds: float = 4 * 3600.0
    endpoint_states: bool = True
    """Slow and throttled endpoints are delayed and dropped."""

    # Listings
    listings: ListingEnd = "ends"
    """How every listing ends: as it should; after an empty page; the first page again and again
    under new links; new empty pages for ever; a link to itself; a link to another host."""

    # Throttling
    concurrency: int = 4
    """Requests at once per app and mailbox."""
    retry_after: float | Literal["date"] | None = 10
    """The ``Retry-After`` of requests over the limit; null: no header."""

    def set(self, name: str, value: Any) -> None:  # noqa: ANN401 - any switch has any type
        """Change one switch. KeyError for an unknown name, TypeError for a wrong value."""
        if name not in {f.name for f in fields(self)}:
            raise KeyError(name)
        if not _fits(value, get_type_hints(BehaviorFlags)[name]):
            raise TypeError(f"{name} does not take {value!r}")
        setattr(self, name, value)

    def as_json(self) -> dict[str, Any]:
        """Return all of them by name."""
        return asdict(self)


def _fits(value: object, kind: Any) -> bool:  # noqa: ANN401 - a type form
    arguments = get_args(kind)
    origin = get_origin(kind)
    if origin is Literal:
        return value in arguments
    if origin in {list, dict}:
        return isinstance(value, origin)
    if arguments:  # a union
        return any(_fits(value, argument) for argument in arguments)
    if kind is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    if kind is int:
        return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(value, kind)
