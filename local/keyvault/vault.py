"""The secrets of a vault: versions, attributes, and deletion that can be undone."""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from local.clock import CloudClock

RECOVERABLE_DAYS: Final = 90


@dataclass(slots=True)
class SecretVersion:
    """One version of a secret. *expires_at* and *not_before* are informative only."""

    version: str
    value: str = field(repr=False)
    created_at: datetime
    updated_at: datetime
    enabled: bool = True
    not_before: datetime | None = None
    expires_at: datetime | None = None
    content_type: str | None = None
    tags: Mapping[str, str] = field(default_factory=dict)


class Vault:
    """Secrets by name, each a list of versions, oldest first. Names ignore letter case."""

    def __init__(self, clock: CloudClock) -> None:
        self._clock = clock
        self.secrets: dict[str, list[SecretVersion]] = {}
        self.deleted: dict[str, tuple[datetime, list[SecretVersion]]] = {}

    def put(
        self,
        name: str,
        value: str,
        *,
        content_type: str | None = None,
        enabled: bool = True,
        not_before: datetime | None = None,
        expires_at: datetime | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> SecretVersion:
        """Add a version, which is then the current one."""
        now = self._clock.now()
        version = SecretVersion(
            version=secrets.token_hex(16),
            value=value,
            created_at=now,
            updated_at=now,
            enabled=enabled,
            not_before=not_before,
            expires_at=expires_at,
            content_type=content_type,
            tags=tags or {},
        )
        self.secrets.setdefault(name.lower(), []).append(version)
        return version

    def find(self, name: str, version: str = "") -> SecretVersion | None:
        """Return the version, the current one if *version* is empty."""
        versions = self.secrets.get(name.lower(), [])
        if not version:
            return versions[-1] if versions else None
        return next((each for each in versions if each.version == version), None)

    def delete(self, name: str) -> bool:
        """Delete the secret, recoverably. False if there is none."""
        versions = self.secrets.pop(name.lower(), None)
        if versions is None:
            return False
        self.deleted[name.lower()] = (self._clock.now(), versions)
        return True

    def recover(self, name: str) -> bool:
        """Undo a deletion. False if there was none."""
        kept = self.deleted.pop(name.lower(), None)
        if kept is None:
            return False
        self.secrets[name.lower()] = kept[1]
        return True
