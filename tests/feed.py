"""Replaying the change feed: what it says of the sessions must be what the sessions are."""

from collections import defaultdict
from collections.abc import Iterable, Sequence

from shared.changes.model import Attendance, Change, ChangeKind
from shared.ids import SessionId
from shared.sessions.model import ResponseState, Session, SessionState


def assert_feed_matches(changes: Sequence[Change], sessions: Iterable[Session]) -> None:
    """Assert that *changes* say each change of *sessions* once and in order, and nothing else."""
    by_session: dict[SessionId, list[Change]] = defaultdict(list)
    for change in changes:
        if change.session_id is not None:
            by_session[change.session_id].append(change)
    ids = [change.id for change in changes]
    assert len(set(ids)) == len(ids)
    told = {s.id: s for s in sessions if s.state is not SessionState.REQUESTED}
    assert by_session.keys() == told.keys()
    for session_id, session in told.items():
        _assert_matches(by_session[session_id], session)


def _assert_matches(told: Sequence[Change], session: Session) -> None:
    kinds = [change.kind for change in told]
    assert kinds[0] is ChangeKind.SCHEDULED
    assert kinds.count(ChangeKind.SCHEDULED) == 1
    ends = [kind for kind in kinds if kind in {ChangeKind.CANCELLED, ChangeKind.RESTORED}]
    assert ends == [ChangeKind.CANCELLED, ChangeKind.RESTORED] * (len(ends) // 2) + (
        [ChangeKind.CANCELLED] * (session.state is SessionState.CANCELLED)
    )
    if session.state is SessionState.CANCELLED:
        assert kinds[-1] is ChangeKind.CANCELLED
    assert kinds.count(ChangeKind.RESCHEDULED) == session.sequence
    versions = [change.at for change in told]
    assert versions == sorted(versions)
    assert versions[-1] <= session.changed_at
    assert session.outbox == ()
    answers = _replayed_answers(told)
    for attendee in session.attendees:
        name = attendee.object_id or attendee.address
        assert answers.get(name, ResponseState.PENDING) is attendee.response.state, name


def _replayed_answers(told: Sequence[Change]) -> dict[str, ResponseState]:
    answers: dict[str, ResponseState] = {}
    for change in told:
        if change.kind is ChangeKind.RESCHEDULED:
            answers.clear()
        if change.kind is ChangeKind.RESPONDED:
            assert change.attendee
            answers[change.attendee] = ResponseState(change.detail)
        if change.kind is ChangeKind.ATTENDEES and change.detail == Attendance.REMOVED:
            answers.pop(change.attendee or "", None)
    return answers
