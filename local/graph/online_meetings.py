"""Teams links: made at once, late, never, or not at all, in both shapes they have had."""

import html
import random
import uuid
from datetime import timedelta
from typing import Final
from urllib.parse import quote

from local.graph.errors import bad_request
from local.graph.mailbox import Event, Mailbox, Store
from local.graph.scheduler import VirtualScheduler
from local.graph.switches import BehaviorFlags

TEAMS: Final = "teamsForBusiness"
SKYPE: Final = "skypeForBusiness"


class OnlineMeetings:
    """Gives events their online meeting, as far as the switches allow."""

    def __init__(
        self, store: Store, scheduler: VirtualScheduler, switches: BehaviorFlags, rng: random.Random
    ) -> None:
        self._store = store
        self._agenda = scheduler
        self._switches = switches
        self._chance = rng

    def allowed_providers(self, mailbox: Mailbox) -> list[str]:
        """Return the providers that the mailbox's calendars allow, the default first."""
        teams = [TEAMS] if mailbox.person.teams else []
        return teams + ([SKYPE] if self._switches.skype_still_listed else [])

    def arrange(self, mailbox: Mailbox, event: Event) -> None:
        """Give *event* a meeting if it asks for one and has none.

        For a provider that the calendar does not allow, Graph answers 201 with ``isOnlineMeeting:
        false``, as after a service fault. The caller must check the answer.

        Raises:
            GraphError: 400, if the switches refuse such a provider.
        """
        details = event.details
        if not details.is_online or details.join_url:
            return
        allowed = self.allowed_providers(mailbox)
        if details.online_provider == "unknown":
            details.online_provider = allowed[0] if allowed else "unknown"
        elif self._switches.refuse_unlisted_provider and details.online_provider not in allowed:
            raise bad_request("The online meeting provider is not allowed for this calendar.")
        if details.online_provider == TEAMS and self._switches.teams == "swapped":
            details.online_provider = SKYPE
        if not self._is_served(mailbox, details.online_provider):
            details.is_online = False
            details.online_provider = "unknown"
        elif details.online_provider == SKYPE or self._switches.teams == "at once":
            self._link(mailbox, event)
        elif self._switches.teams == "late":
            delay = timedelta(seconds=self._switches.teams_delay_seconds)
            self._agenda.call_later(delay, lambda: self._link_late(mailbox, event))

    def _is_served(self, mailbox: Mailbox, provider: str) -> bool:
        if provider == SKYPE:
            return self._switches.skype_still_works
        return provider == TEAMS and mailbox.person.teams and self._switches.teams != "never"

    def _link_late(self, mailbox: Mailbox, event: Event) -> None:
        if event.is_deleted or event.key not in mailbox.events or event.details.join_url:
            return
        self._link(mailbox, event)
        self._store.changed(event, "updated")

    def _link(self, mailbox: Mailbox, event: Event) -> None:
        is_skype = event.details.online_provider == SKYPE
        event.details.join_url = (
            f"https://meet.lync.com/{mailbox.person.key}/{self._chance.randrange(10**8):08}"
            if is_skype
            else self._url(mailbox)
        )
        event.details.body = event.details.body.replace(
            "\r\n</body>", join_block(event.details.join_url) + "\r\n</body>", 1
        )

    def _url(self, mailbox: Mailbox) -> str:
        if self._switches.teams_url == "short":
            digits = f"{self._chance.randrange(10**12, 10**13)}"
            passcode = f"{self._chance.getrandbits(96):024x}"[:18]
            return f"https://teams.microsoft.com/meet/{digits}?p={passcode}"
        person = mailbox.person
        thread = uuid.UUID(int=self._chance.getrandbits(128)).hex
        context = quote(f'{{"Tid":"{person.tenant_id}","Oid":"{person.object_id}"}}', safe="")
        return (
            f"https://teams.microsoft.com/l/meetup-join/19%3ameeting_{thread}%40thread.v2/0"
            f"?context={context}"
        )


def join_block(join_url: str) -> str:
    """Return the block that Exchange appends to the body of an online meeting."""
    link = html.escape(join_url)
    return (
        '\r\n<div class="me-email-text"><div>'
        "________________________________________________________________________________</div>"
        f'\r\n<a class="me-email-headline" href="{link}">Join Microsoft Teams Meeting</a></div>'
    )


def keeps_join_block(body: str, join_url: str) -> bool:
    """Whether a patched body still has the link; without it the meeting is disabled.

    Source: https://learn.microsoft.com/graph/api/event-update
    """
    return html.escape(join_url) in body or join_url in body
