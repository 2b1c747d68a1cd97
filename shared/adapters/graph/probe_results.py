"""Reads a probe's result out of an answer or an error of Graph or Entra. Pure."""

from collections.abc import Mapping
from typing import Any, Final

from shared.adapters.entra_errors import EntraRefused
from shared.adapters.graph.errors import GraphErrorBody
from shared.adapters.graph.responses import GraphCallFailed, GraphResponse
from shared.errors import (
    CalendarError,
    CalendarUnavailable,
    ConsentMissing,
    Misconfigured,
    NotAuthenticated,
    SchedulingError,
    SignInAgain,
    StoreUnavailable,
)
from shared.organizations.ports import Account, Capability, ProbeHint, ProbeResult


def failed_result(
    capability: Capability, error: GraphCallFailed | SchedulingError, *, as_user: bool
) -> ProbeResult:
    """Return the result of a probe that failed with *error*; ok is None for a passing failure.

    Raises:
        NotAuthenticated: only the user can cure *error*, by another sign-in.
    """
    if isinstance(error, GraphCallFailed):
        return _refused_result(capability, error.refusal, as_user=as_user)
    _raise_for_sign_in(error, as_user=as_user)
    if isinstance(error.__cause__, EntraRefused):
        refusal = error.__cause__.refusal
        if refusal.aadsts is not None or refusal.error in _TOKEN_ERRORS:
            return ProbeResult(
                capability,
                ok=None if isinstance(error, CalendarUnavailable) else False,
                status=refusal.status,
                code=refusal.error,
                aadsts=refusal.aadsts,
                request_id=refusal.trace_id,
                as_user=as_user,
            )
    if isinstance(error, CalendarError):
        return ProbeResult(
            capability,
            ok=None,
            status=error.status,
            code=error.code,
            request_id=error.request_id,
            as_user=as_user,
        )
    if isinstance(error, Misconfigured):
        cause = f"{error} {error.remedy}" if error.remedy else str(error)
        hint = ProbeHint.MISCONFIGURED
        return ProbeResult(capability, ok=False, hint=hint, cause=cause, as_user=as_user)
    ok = None if isinstance(error, StoreUnavailable) else False
    aadsts = error.aadsts if isinstance(error, ConsentMissing) else None
    return ProbeResult(capability, ok=ok, aadsts=aadsts, as_user=as_user)


def subscribe_refused_result(failed: GraphCallFailed) -> ProbeResult:
    """Return the result of a refused subscription, with a hint for a mailbox or a handshake.

    Graph answers 404 for a mailbox it does not find, and 400 with "validation" in the message for
    a webhook that did not answer the handshake.

    Source: https://learn.microsoft.com/graph/change-notifications-delivery-webhooks
    """
    refusal = failed.refusal
    result = _refused_result(Capability.SUBSCRIBE, refusal, as_user=False)
    if refusal.status == 404:
        return ProbeResult(
            Capability.SUBSCRIBE,
            ok=False,
            status=404,
            code=refusal.code,
            request_id=refusal.request_id,
            hint=ProbeHint.NO_MAILBOX,
        )
    if refusal.status == 400 and "validation" in refusal.message.lower():
        return ProbeResult(
            Capability.SUBSCRIBE,
            ok=False,
            status=400,
            code=refusal.code,
            request_id=refusal.request_id,
            hint=ProbeHint.HANDSHAKE,
        )
    return result


def schedule_result(answer: GraphResponse, *, as_user: bool) -> ProbeResult:
    """Return the result of a getSchedule call, whose 200 may have an error for the mailbox.

    Source: https://learn.microsoft.com/graph/api/calendar-getschedule
    """
    entry = next(iter(answer.values()), None)
    error = entry.get("error") if isinstance(entry, dict) else None
    return ProbeResult(
        Capability.SCHEDULE,
        # An answer that cannot be read proves neither.
        ok=error is None if isinstance(entry, dict) else None,
        status=answer.status,
        code=str(error.get("responseCode") or "") if isinstance(error, dict) else "",
        as_user=as_user,
    )


def is_event_missing(refusal: GraphErrorBody) -> bool:
    """Return whether Graph looked for the event, which it does after the permission check."""
    return refusal.code.lower() in {"erroritemnotfound", "errorinvalididmalformed"}


def parse_account(
    payload: Mapping[str, Any], more: Mapping[str, Any], purpose: Mapping[str, Any]
) -> Account:
    """Return the account out of a user's properties and mailbox settings.

    *more* and *purpose* are empty where the app may not read them; a field that rests on them is
    then None.
    """
    name = str(payload.get("userPrincipalName") or "")
    plans = more.get("assignedPlans")
    used_for = purpose.get("userPurpose")
    return Account(
        address=str(payload.get("mail") or name).lower(),
        is_guest="#ext#" in name.lower() or more.get("userType") == "Guest",
        is_shared=str(used_for).lower() == "shared" if used_for else None,
        is_synced=bool(more["onPremisesSyncEnabled"]) if "onPremisesSyncEnabled" in more else None,
        has_exchange_plan=any(
            plan.get("service") == "exchange" and plan.get("capabilityStatus") == "Enabled"
            for plan in plans
            if isinstance(plan, dict)
        )
        if isinstance(plans, list)
        else None,
        is_enabled=more.get("accountEnabled"),
    )


_TOKEN_ERRORS: Final = frozenset(
    {
        "invalid_grant",
        "invalid_client",
        "unauthorized_client",
        "interaction_required",
        "consent_required",
        "access_denied",
        "invalid_request",
        "invalid_resource",
        "invalid_scope",
    }
)


def _refused_result(
    capability: Capability, refusal: GraphErrorBody, *, as_user: bool
) -> ProbeResult:
    return ProbeResult(
        capability,
        ok=None if refusal.status == 429 or refusal.status >= 500 else False,
        status=refusal.status,
        code=refusal.code,
        request_id=refusal.request_id,
        as_user=as_user,
        # Only the message shows that an application access policy refused.
        # Source: https://learn.microsoft.com/graph/auth-limit-mailbox-access
        hint=ProbeHint.ACCESS_POLICY if "[RAOP]" in refusal.message else None,
    )


def _raise_for_sign_in(error: SchedulingError, *, as_user: bool) -> None:
    if not as_user or not isinstance(error, NotAuthenticated):
        return
    # Without claims another sign-in may change nothing, so the report has it as a finding.
    if not isinstance(error, SignInAgain) or error.claims:
        raise error
