"""The booking environment: a mentor and a mentee, their calendars, and in-memory ports."""

from dataclasses import dataclass
from datetime import timedelta

import pytest

from shared.ids import Mailbox
from shared.limits.limiter import CallLimiter
from shared.limits.model import Limits
from shared.organizations.model import (
    ActingUser,
    Caller,
    ConsentState,
    Organization,
    OrganizationSettings,
)
from shared.pairings.model import Pairing
from shared.sessions.booking import book
from shared.sessions.model import Session
from shared.sessions.ports import SessionPorts
from shared.sessions.requests import BookingRequest
from shared.sessions.series import Booking, Series
from tests.builders import a_mailbox, a_pairing, an_organization, at
from tests.fake_outlook import FakeCalendar, FakeOutlook
from tests.fakes import (
    FakeClock,
    InMemoryChanges,
    InMemoryDue,
    InMemoryJobs,
    InMemorySessions,
    InMemoryUsages,
)


@dataclass
class BookingEnv:
    """The participants, fakes and stores of one test."""

    organization: Organization
    pairing: Pairing
    mentor: Mailbox
    mentee: Mailbox
    clock: FakeClock
    outlook: FakeOutlook
    calendar: FakeCalendar
    sessions: InMemorySessions
    jobs: InMemoryJobs
    changes: InMemoryChanges
    due: InMemoryDue
    limiter: CallLimiter

    @property
    def ports(self) -> SessionPorts:
        """Return the fakes as the ports of the use cases."""
        return SessionPorts(
            schedules=self.outlook,
            calendar=self.calendar,
            sessions=self.sessions,
            jobs=self.jobs,
            due=self.due,
            limiter=self.limiter,
            clock=self.clock,
            pause=self.clock.pause,
        )

    def acting(self, mailbox: Mailbox) -> Caller:
        """Return *mailbox* as a signed-in caller."""
        return Caller(self.organization, ActingUser(mailbox, "token"))

    def address(self, mailbox: Mailbox) -> str:
        """Return the address of *mailbox*."""
        found = self.pairing.participant(mailbox.object_id)
        assert found is not None
        return found.address


def a_booking_env() -> BookingEnv:
    """Return a new environment, on a Monday morning."""
    clock = FakeClock()
    mentor = a_mailbox()
    mentee = a_mailbox(mentor.tenant_id)
    organization = an_organization(
        tenant_id=mentor.tenant_id,
        consent=ConsentState.GRANTED,
        settings=OrganizationSettings(minimum_notice=timedelta()),
    )
    pairing = a_pairing(mentor, mentee, organization_id=organization.id)
    outlook = FakeOutlook(
        clock, {p.address: p.object_id for p in pairing.participants if p.object_id}
    )
    changes = InMemoryChanges()
    return BookingEnv(
        organization,
        pairing,
        mentor,
        mentee,
        clock,
        outlook,
        FakeCalendar(outlook),
        InMemorySessions(changes),
        InMemoryJobs(),
        changes,
        InMemoryDue(),
        CallLimiter(Limits(), InMemoryUsages(), clock),
    )


@pytest.fixture
def env() -> BookingEnv:
    """Provide a new booking environment."""
    return a_booking_env()


def a_request(key: str = "key", hour: int = 10, **changes: object) -> BookingRequest:
    """Return a request for half an hour tomorrow."""
    given: dict[str, object] = {
        "key": key,
        "fingerprint": f"{key}-{hour}",
        "start": at(hour, day=1),
        "duration": timedelta(minutes=30),
        "time_zone": "Europe/Berlin",
        **changes,
    }
    return BookingRequest(**given)  # type: ignore[arg-type]  # a builder's keywords


async def book_one(
    caller: Caller, pairing: Pairing, request: BookingRequest, *, ports: SessionPorts
) -> Session:
    """Book a single date; return its session."""
    (session,) = (await book(caller, pairing, request, ports=ports)).sessions
    return session


def the_series(booked: Booking) -> Series:
    """Return the series that was booked."""
    assert booked.series is not None
    return booked.series
