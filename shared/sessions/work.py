"""Work that comes due, cut into jobs of one organization and at most 20. Pure."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

from shared.due import DueItem, DueKind
from shared.ids import SessionId, TenantId
from shared.sessions.ports import Job, JobKind

BATCH: Final = 20
"""Requests in one `$batch` of Graph."""


def batches(items: Sequence[DueItem]) -> list[list[DueItem]]:
    """Return *items* in groups of one organization and at most 20."""
    grouped: dict[tuple[str, TenantId], list[DueItem]] = {}
    for item in items:
        grouped.setdefault((item.organization_id, item.mailbox.tenant_id), []).append(item)
    return [
        group[start : start + BATCH]
        for group in grouped.values()
        for start in range(0, len(group), BATCH)
    ]


def job_of(kind: JobKind, batch: Sequence[DueItem]) -> Job:
    """Return the job that does *batch*."""
    return Job(
        kind,
        batch[0].organization_id,
        tuple(item.mailbox for item in batch),
        tuple(SessionId(item.key) for item in batch if item.key),
        due_ats=tuple(item.due_at for item in batch),
    )


def due_items(kind: DueKind, job: Job) -> list[DueItem]:
    """Return the `Due` items that *job* was made of."""
    keys: Sequence[str] = job.session_ids or ("",) * len(job.mailboxes)
    return [
        DueItem(at, kind, job.organization_id, mailbox, key)
        for at, mailbox, key in zip(job.due_ats, job.mailboxes, keys, strict=False)
    ]


def put_off(items: Iterable[DueItem], until: datetime) -> list[DueItem]:
    """Return *items* due *until* at the earliest, on the minute: several who put them off agree."""
    on_the_minute = until.replace(second=0, microsecond=0)
    later = on_the_minute if on_the_minute == until else on_the_minute + timedelta(minutes=1)
    return [replace(item, due_at=later) for item in items]
