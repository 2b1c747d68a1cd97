"""The people of a session: who must be free for a move, and who may make one."""

from collections.abc import Sequence

from shared.errors import NotAllowed
from shared.organizations.model import Caller
from shared.pairings.model import Invitee, Pairing
from shared.sessions.model import Session


def require_member(caller: Caller, pairing: Pairing) -> None:
    """Raise NotAllowed unless the caller is in *pairing* today.

    A refused move tells when the others are free, which is no concern of one who has left.
    """
    if pairing.participant(caller.mailbox.object_id) is None:
        raise NotAllowed(
            "You are not in this pairing any more, so its sessions are not yours to move.",
            remedy="Cancel the session, or move the meeting in Outlook.",
        )


def people_to_meet(
    caller: Caller, pairing: Pairing, sessions: Sequence[Session]
) -> tuple[Invitee, ...]:
    """Return the people who must be free for a move: the caller, and the attendees of *sessions*.

    A person who came to the pairing since is not in the meeting. A person to whom the invitation
    was forwarded never agreed to be looked up.
    """
    me = caller.mailbox.object_id
    people = [p for p in pairing.people if p.object_id == me]
    invited = [a for s in sessions for a in s.attendees if a.invited and not a.forwarded]
    for address in dict.fromkeys(a.address for a in invited):
        rows = [a for a in invited if a.address == address]
        known = [p for p in pairing.people if _is_same(p, rows[0].object_id, address)]
        people.append(
            Invitee(
                address,
                rows[0].object_id,
                required=any(a.required for a in rows),
                role=known[0].role if known else None,
            )
        )
    return tuple(people)


def _is_same(person: Invitee, object_id: str | None, address: str) -> bool:
    return person.object_id == object_id if object_id else person.address == address
