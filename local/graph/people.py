"""Finds people by object id or address quickly, in worlds of any size."""

import uuid
from dataclasses import dataclass, field, replace

from local.world import MailboxKind, Person, World


@dataclass(slots=True)
class People:
    """An index over the world's people. A miss rebuilds it, so it follows changes of the world."""

    world: World
    _known: dict[tuple[str, str], Person] = field(default_factory=dict)

    def at(self, address: str) -> Person | None:
        """Return the person whose mailbox gets mail to *address*. Guests are left out."""
        return self._find("", address)

    def find(self, tenant_id: str, identifier: str) -> Person | None:
        """Return a person of a tenant by object id or user principal name, in any letter case."""
        return self._find(tenant_id, identifier)

    def recreate(self, who: str) -> Person:
        """Delete an account and create it anew; return the former one, which `restore` takes.

        The new one has the same address and another object id, so another mailbox.
        """
        former = self.world.person(who)
        self.restore(replace(former, object_id=str(uuid.uuid4()), aliases=[*former.aliases]))
        return former

    def restore(self, former: Person) -> None:
        """Put *former* in place of the account that has its key."""
        people = self.world.tenants[former.tenant_id].people
        people[people.index(self.world.person(former.key))] = former
        self._known.clear()

    def _find(self, tenant_id: str, identifier: str) -> Person | None:
        wanted = identifier.casefold()
        person = self._known.get((tenant_id, wanted))
        if person is None or wanted not in _names(person):
            self._learn()
            person = self._known.get((tenant_id, wanted))
        return person

    def _learn(self) -> None:
        self._known.clear()
        for person in self.world.people():
            for name in (person.address.casefold(), person.object_id.casefold()):
                self._known[person.tenant_id, name] = person
            for name in _names(person):
                if person.kind is not MailboxKind.ABSENT or ("", name) not in self._known:
                    self._known["", name] = person


def _names(person: Person) -> set[str]:
    names = (person.address, person.object_id, *person.aliases)
    return {name.casefold() for name in names}
